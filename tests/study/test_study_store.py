"""Store: whole artefacts or none, whatever happens."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from lib.errors import CorruptArtefactError, InvalidValueError, StorageError
from lib.study import keys, paths
from lib.study import store as store_module
from lib.study.store import RECORD, VERIFY, Store, trace, verify


class Make:
    """Counts its calls; writes two files, one in a folder."""

    def __init__(self, text="hello"):
        self.text, self.calls = text, 0

    def __call__(self, folder):
        self.calls += 1
        (folder / "inner").mkdir()
        (folder / "inner" / "b.txt").write_text(self.text * 100)
        (folder / "a.txt").write_text(self.text)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "run")


def drafts(store):
    return [path.name for path in store.root.glob("*/.*")]


def test_second_build_finds_the_first(store):
    make = Make()
    one = store.build("models", "base", {"seed": 1}, make)
    two = Store(store.root).build("models", "base", {"seed": 1}, make)
    assert one == two and make.calls == 1
    assert (one / "inner" / "b.txt").read_text() == "hello" * 100
    assert one.parent == store.root / "models" and one.name.startswith("base-")


@pytest.mark.parametrize(
    "other",
    [("models", "base", {"seed": 2}), ("models", "other", {"seed": 1}),
     ("items", "base", {"seed": 1}), ("models", "base", {"seed": 1, "more": None})],
)
def test_anything_else_is_another_artefact(store, other):
    first = store.build("models", "base", {"seed": 1}, Make())
    assert store.build(*other, Make()) != first


def test_other_versions_are_another_artefact(store, monkeypatch):
    first = store.build("models", "base", {}, Make())
    monkeypatch.setattr(keys, "packages", lambda: {"numpy": "0.1"})
    assert store.build("models", "base", {}, Make()) != first


def test_moving_the_run_folder_changes_no_key(store, tmp_path):
    base = store.build("models", "base", {}, Make())
    tuned = store.build("models", "tuned", {"base": base}, Make())
    moved = Store(tmp_path / "moved")
    shutil.copytree(store.root, moved.root)
    make = Make()
    again = moved.build("models", "tuned", {"base": moved.root / "models" / base.name}, make)
    assert again.name == tuned.name and make.calls == 0


def test_record_says_what_and_how_long(store):
    folder = store.build("models", "base", {"rhos": (0.1, 0.2)}, Make())
    record = json.loads((folder / RECORD).read_text())
    assert record["inputs"] == {"rhos": [0.1, 0.2]}
    assert record["files"]["a.txt"]["size"] == 5
    assert record["seconds"] >= 0


def flip_first_byte(path):
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def flip_unseen(path):
    """The same size and time: what only reading all bytes can find."""
    before = path.stat()
    flip_first_byte(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


DAMAGES = {
    "one byte": lambda folder: flip_first_byte(folder / "a.txt"),
    "truncated": lambda folder: os.truncate(folder / "inner" / "b.txt", 10),
    "missing": lambda folder: (folder / "a.txt").unlink(),
    "record gone": lambda folder: (folder / RECORD).unlink(),
    "record cut": lambda folder: os.truncate(folder / RECORD, 30),
    "record byte": lambda folder: (folder / RECORD).write_text(
        (folder / RECORD).read_text().replace('"size": 5', '"size": 6')),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_damaged_artefact_is_rebuilt_with_a_message(store, damage, capsys, monkeypatch):
    monkeypatch.delenv("STUDY_PROGRESS", raising=False)
    make = Make()
    folder = store.build("models", "base", {}, make)
    DAMAGES[damage](folder)
    with pytest.raises(CorruptArtefactError):
        verify(folder)
    assert store.build("models", "base", {}, make) == folder
    assert make.calls == 2 and (folder / "a.txt").read_text() == "hello"
    verify(folder)
    message = capsys.readouterr().err
    assert folder.name in message and "Rebuilding" in message
    assert drafts(store) == []


SHIPPED = ("models", "base", {"seed": 1})


@pytest.fixture
def shipped(store, tmp_path):
    """What was made where nothing was shipped, in a folder of the repository."""
    made = store.build(*SHIPPED, Make(), shipped=tmp_path / "none")
    shutil.copytree(made, tmp_path / "shipped")
    return tmp_path / "shipped"


def test_what_is_shipped_is_copied_and_not_made(shipped, tmp_path):
    make, fresh = Make("other"), Store(tmp_path / "fresh")
    assert fresh.is_shipped(*SHIPPED, make, shipped)
    folder = fresh.build(*SHIPPED, make, shipped=shipped)
    assert make.calls == 0 and (folder / "inner" / "b.txt").read_text() == "hello" * 100
    assert (folder, json.loads((folder / RECORD).read_text())["key"]) == (
        fresh.place(*SHIPPED, make, shipped))
    verify(folder)


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_what_is_shipped_damaged_is_made(shipped, damage, tmp_path):
    DAMAGES[damage](shipped)
    make, fresh = Make(), Store(tmp_path / "fresh")
    assert not fresh.is_shipped(*SHIPPED, make, shipped)
    fresh.build(*SHIPPED, make, shipped=shipped)
    assert make.calls == 1


def test_what_is_shipped_under_another_key_is_made_with_a_message(
    shipped, tmp_path, capsys, monkeypatch
):
    monkeypatch.delenv("STUDY_PROGRESS", raising=False)
    make, fresh = Make(), Store(tmp_path / "fresh")
    fresh.build("models", "base", {"seed": 2}, make, shipped=shipped)
    assert make.calls == 1 and "made here instead" in capsys.readouterr().err


def test_other_versions_do_not_matter_to_what_is_shipped(shipped, tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "packages", lambda: {"numpy": "0.1"})
    assert Store(tmp_path / "fresh").is_shipped(*SHIPPED, Make(), shipped)


def test_a_flipped_byte_of_the_same_size_and_time_is_found_by_verify_only(store, monkeypatch):
    make = Make()
    folder = store.build("models", "base", {}, make)
    flip_unseen(folder / "a.txt")
    verify(folder)
    assert store.build("models", "base", {}, make) == folder and make.calls == 1
    with pytest.raises(CorruptArtefactError, match="changed bytes"):
        verify(folder, bytes=True)
    monkeypatch.setenv(VERIFY, "0")
    verify(folder)
    monkeypatch.setenv(VERIFY, "1")
    with pytest.raises(CorruptArtefactError, match="changed bytes"):
        verify(folder)
    store.build("models", "base", {}, make)
    assert make.calls == 2
    verify(folder, bytes=True)


def test_a_file_is_read_once_while_its_size_and_time_stay(store, tmp_path, monkeypatch):
    make = Make()
    folder = store.build("models", "base", {}, make)
    read = []
    monkeypatch.setattr(store_module, "file_sha256", lambda path: read.append(path) or
                        hashlib.sha256(path.read_bytes()).hexdigest())
    verify(folder)
    assert read == []
    os.utime(folder / "a.txt")  # as a copy has it
    verify(folder)
    verify(folder)
    assert read == [folder / "a.txt"]


def test_intact_artefact_makes_no_noise(store, capsys):
    store.build("models", "base", {}, Make())
    store.build("models", "base", {}, Make())
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_failed_make_leaves_nothing(store, error):
    def make(folder):
        (folder / "half.txt").write_text("half")
        raise error

    with pytest.raises(type(error)):
        store.build("models", "base", {}, make)
    assert list((store.root / "models").iterdir()) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_disk_that_refuses(store, code):
    def make(folder):
        (folder / "half.txt").write_text("half")
        raise OSError(code, os.strerror(code), str(folder))

    with pytest.raises(StorageError, match="STUDY_RUNS"):
        store.build("models", "base", {}, make)
    assert list((store.root / "models").iterdir()) == []


def test_existing_artefact_is_used_from_a_read_only_disk(store, monkeypatch):
    folder = store.build("models", "base", {}, Make())
    monkeypatch.setattr(Store, "_lock", lambda *_: pytest.fail("tried to write"))
    assert Store(store.root).build("models", "base", {}, Make()) == folder


def test_make_that_writes_nothing_is_refused(store):
    with pytest.raises(InvalidValueError, match="at least one file"):
        store.build("models", "base", {}, lambda folder: None)


OUTSIDE = os.environ | {"PYTHONPATH": str(paths.ROOT)}

KILLED = """
import sys, time
from pathlib import Path
from lib.study.store import Store
def make(folder):
    (folder / "a.txt").write_text("half")
    print(folder, flush=True)
    time.sleep(60)
Store(Path(sys.argv[1])).build("models", sys.argv[2], {}, make)
"""


def start_writer(store, name):
    script = store.root.parent / "killed.py"
    script.write_text(KILLED)
    writer = subprocess.Popen([sys.executable, str(script), str(store.root), name],
                              env=OUTSIDE, stdout=subprocess.PIPE, text=True)
    writer.stdout.readline()
    return writer


def test_killed_writer_leaves_nothing_that_looks_whole(store):
    writer = start_writer(store, "base")
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert len(drafts(store)) == 1
    make = Make()
    folder = store.build("models", "base", {}, make)
    assert make.calls == 1 and (folder / "a.txt").read_text() == "hello"
    assert drafts(store) == []


def test_only_drafts_of_dead_writers_are_cleaned(store):
    dead, alive = start_writer(store, "dead"), start_writer(store, "alive")
    try:
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        store.build("items", "third", {}, Make())
        left = drafts(store)
        assert len(left) == 1 and left[0].startswith(".alive-")
    finally:
        alive.kill()
        alive.wait()


TWO = """
import sys, time
from pathlib import Path
from lib.study.store import Store
def make(folder):
    time.sleep(0.5)
    (folder / "a.txt").write_text("x")
    with open(sys.argv[2], "a") as file:
        file.write("made\\n")
Store(Path(sys.argv[1])).build("models", "base", {}, make)
"""


def test_two_processes_build_once(store, tmp_path):
    log = tmp_path / "log"
    (tmp_path / "two.py").write_text(TWO)
    both = [subprocess.Popen([sys.executable, tmp_path / "two.py", str(store.root), str(log)],
                             env=OUTSIDE, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert log.read_text() == "made\n"


def test_use_is_recorded(store, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_TRACE", str(tmp_path / "trace"))
    folder = store.build("models", "base", {}, Make())
    store.build("models", "base", {}, Make())
    key = json.loads((folder / RECORD).read_text())["key"]
    assert store.used == [(folder, key)] * 2
    lines = [json.loads(line) for line in (tmp_path / "trace").read_text().splitlines()]
    assert lines == [{"artefact": f"models/{folder.name}", "key": key}] * 2


def test_trace_is_silent_outside_the_runner(tmp_path, monkeypatch):
    monkeypatch.delenv("STUDY_TRACE", raising=False)
    trace({"artefact": "x"})
    monkeypatch.setenv("STUDY_TRACE", str(tmp_path / "t"))
    trace({"artefact": "y"})
    assert (tmp_path / "t").read_text() == '{"artefact": "y"}\n'


def test_frame_is_the_same_from_the_first_run_on(store):
    made = pd.DataFrame({"item": ["a", "b"], "history": [[1, 2], [3, 4]], "x": [0.1, 0.2]})
    first = store.frame("items", {"seed": 1}, lambda: made)
    again = Store(store.root).frame("items", {"seed": 1}, lambda: made)
    pd.testing.assert_frame_equal(first, again)
    assert [list(row) for row in first["history"]] == [[1, 2], [3, 4]]
    assert first["x"].tolist() == [0.1, 0.2]


def test_frame_made_by_other_source_is_another_frame(store):
    one = store.frame("items", {}, lambda: pd.DataFrame({"x": [1]}))
    two = store.frame("items", {}, lambda: pd.DataFrame({"x": [2]}))
    assert (one["x"][0], two["x"][0]) == (1, 2)


def test_same_inputs_same_bytes(tmp_path):
    frame = pd.DataFrame({"x": [1.5, 2.5], "arm": ["base", "lora"]})
    folders = []
    for place in ("one", "two"):
        store = Store(tmp_path / place)
        store.frame("f", {}, lambda: frame)
        folders.append(store.used[0][0])
        time.sleep(0.01)
    one, two = ((folder / "frame.parquet").read_bytes() for folder in folders)
    assert one == two
