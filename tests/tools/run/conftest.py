"""A folder of toy notebooks and a command line that runs them; nothing touches the real runs."""

import json
import sys
from pathlib import Path

import pytest

from tools.run.cli import main

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


class Place:
    """Notebooks in `notebooks`, results in `runs`; call it with command-line arguments."""

    def __init__(self, root: Path) -> None:
        self.notebooks, self.runs = root / "notebooks", root / "runs"
        self.folder = self.runs.resolve() / "smoke"
        self.notebooks.mkdir()

    def __call__(self, *arguments: str) -> int:
        return main(["--profile", "smoke", *arguments], self.notebooks)

    def manifest(self) -> dict:
        return json.loads((self.folder / "manifest.json").read_text())


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))  # restored after the runner's own
    for name in ("STUDY_TRACE", "STUDY_PROGRESS"):
        monkeypatch.delenv(name, raising=False)
    return Place(tmp_path)
