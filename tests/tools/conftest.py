"""A folder of toy notebooks and a command line that runs them; nothing touches the real runs."""

import json
import sys
from pathlib import Path

import pytest

from lib.study import paths
from tools.cli import app

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def command(*arguments: str) -> int:
    """Exit code of ``side-effects`` with these arguments, in this process."""
    with pytest.raises(SystemExit) as ended:
        app(list(arguments), prog_name="side-effects")
    return ended.value.code


class Place:
    """Notebooks in `notebooks`, results in `runs`; calling it is ``side-effects run ARGUMENTS``."""

    def __init__(self, root: Path) -> None:
        self.notebooks, self.runs = root / "notebooks", root / "runs"
        self.folder = self.runs.resolve() / "smoke"
        self.notebooks.mkdir()

    def __call__(self, *arguments: str) -> int:
        return command("run", "--profile", "smoke", *arguments)

    def manifest(self) -> dict:
        return json.loads((self.folder / "manifest.json").read_text())


@pytest.fixture
def side_effects():
    return command


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))  # restored after the runner's own
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    for name in ("STUDY_TRACE", "STUDY_PROGRESS"):
        monkeypatch.delenv(name, raising=False)
    return Place(tmp_path)
