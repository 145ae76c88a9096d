"""Display: the same events on a terminal, elsewhere, and in the log."""

import io

import pytest

from lib.errors import StorageError
from tools.run.display import QUIET, Display


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    return Clock()


def display(stream, tmp_path, clock, last=(60.0, 30.0)):
    plan = ["00_a", "01_b"]
    return Display(stream, tmp_path / "run.log", plan, dict(zip(plan, last, strict=True)), clock)


def test_plain_lines_without_a_terminal(tmp_path, clock):
    stream = io.StringIO()
    shown = display(stream, tmp_path, clock)
    shown.notebook("00_a", "it has not run yet")
    clock.now = 20.0
    shown.cell(3, 21)
    shown.report({"label": "pretrain", "step": 5, "total": 10, "figures": {"loss": 2.0}, "eta": 9})
    shown.finished("00_a", 61.0)
    assert stream.getvalue().splitlines() == [
        "notebook 1/2  00_a: runs, because it has not run yet",
        "notebook 1/2  cell 3/21  elapsed 0:20, about 1:10 left",
        "notebook 1/2  cell 3/21  pretrain  step 5/10  loss 2  ETA 0:09",
        "notebook 1/2  00_a: done in 1:01",
    ]


def test_log_has_every_line(tmp_path, clock):
    stream = Terminal()
    shown = display(stream, tmp_path, clock)
    shown.notebook("01_b", "lib changed")
    shown.cell(1, 2)
    shown.report({"message": "rebuilding base"})
    log = (tmp_path / "run.log").read_text().splitlines()
    assert [line[21:] for line in log] == [
        "notebook 2/2  01_b: runs, because lib changed",
        "notebook 2/2  cell 1/2  elapsed 0:00, about 0:30 left",
        "notebook 2/2  cell 1/2  rebuilding base",
    ]


def test_terminal_rewrites_one_line_no_wider_than_it_is(tmp_path, clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    shown = display(stream, tmp_path, clock)
    shown.notebook("00_a", "x")
    for second in range(1, 4):
        clock.now = second
        shown.cell(second, 9)
        shown.tick()
    assert stream.getvalue().count("\n") == 1
    pieces = stream.getvalue().split("\r\x1b[K")[2:]
    assert len(pieces) == 6 and all(len(piece) <= 39 for piece in pieces)
    assert "cell 3/9" in pieces[-1]


def test_remaining_time_never_turns_negative(tmp_path, clock):
    shown = display(io.StringIO(), tmp_path, clock)
    shown.notebook("00_a", "x")
    clock.now = 500.0
    assert shown.times() == "elapsed 8:20, about 0:30 left"


def test_remaining_is_unknown_if_any_duration_is(tmp_path, clock):
    shown = display(io.StringIO(), tmp_path, clock, last=(60.0, None))
    shown.notebook("00_a", "x")
    assert shown.times() == "elapsed 0:00, remaining unknown"


def test_silence_is_broken_now_and_then(tmp_path, clock):
    stream = io.StringIO()
    shown = display(stream, tmp_path, clock)
    shown.notebook("00_a", "x")
    clock.now = QUIET - 1
    shown.tick()
    assert "still running" not in stream.getvalue()
    clock.now = QUIET + 1
    shown.tick()
    shown.tick()
    assert stream.getvalue().count("still running") == 1


def test_log_that_cannot_be_written(tmp_path, clock):
    (tmp_path / "file").write_text("")
    shown = Display(io.StringIO(), tmp_path / "run.log", ["00_a"], {}, clock)
    (tmp_path / "run.log").write_text("")
    shown.path = tmp_path / "full"

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.open", full)
        with pytest.raises(StorageError):
            shown.log("x")
