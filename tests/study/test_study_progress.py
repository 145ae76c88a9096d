"""Progress: at most one line every two seconds, the last always, one channel."""

import json

import pytest

from lib.study.progress import Progress, clock_text, format_report, say, track


@pytest.fixture
def channel(tmp_path, monkeypatch):
    path = tmp_path / "progress.jsonl"
    monkeypatch.setenv("STUDY_PROGRESS", str(path))
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_reports_are_rare_but_the_last_step_is_always_told(channel):
    clock = Clock()
    progress = Progress("pretrain", 100, clock)
    for step in range(1, 101):
        clock.now += 0.125
        progress.update(step, loss=1.0)
    assert [report["step"] for report in channel()] == [16, 32, 48, 64, 80, 96, 100]


def test_eta_extrapolates_the_mean_pace(channel):
    clock = Clock()
    progress = Progress("x", 50, clock)
    clock.now = 10.0
    progress.update(20)
    assert channel()[0]["eta"] == pytest.approx(15.0)  # 0.5 s a step, 30 steps left


def test_nothing_is_said_before_the_interval(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_PROGRESS", str(tmp_path / "p"))
    Progress("x", 10, Clock()).update(1)
    assert not (tmp_path / "p").exists()


def test_track_announces_itself(channel):
    with track("lora", 7) as progress:
        progress.update(7, loss=0.5)
    assert [(r["label"], r["step"]) for r in channel()] == [("lora", 0), ("lora", 7)]


def test_outside_the_runner_reports_go_to_stderr(monkeypatch, capsys):
    monkeypatch.delenv("STUDY_PROGRESS", raising=False)
    with track("lora", 7) as progress:
        progress.update(7, loss=0.5)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["lora  step 0/7", "lora  step 7/7  loss 0.5"]


def test_messages_use_the_same_channel(channel):
    say("rebuilding")
    assert channel() == [{"message": "rebuilding"}]


def test_figures_of_any_number_type_are_written(channel):
    import numpy as np

    Progress("x", 1, Clock()).update(1, loss=np.float32(0.5), kl=np.int64(2))
    assert channel()[0]["figures"] == {"loss": 0.5, "kl": 2.0}


def test_line_for_a_person():
    report = {"label": "pretrain", "step": 120, "total": 1500, "figures": {"loss": 2.3149},
              "eta": 42.4}
    assert format_report(report) == "pretrain  step 120/1500  loss 2.315  ETA 0:42"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (61, "1:01"), (3600, "1:00:00"),
     (3725, "1:02:05")],
)
def test_clock(seconds, text):
    assert clock_text(seconds) == text
