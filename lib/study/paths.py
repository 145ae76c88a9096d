"""Where things lie, whatever the working directory: everything follows from the repository root."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Repository root: the folder that holds ``lib``, ``notebooks`` and ``README.md``."""

DATA = ROOT / "data"
BASES = DATA / "bases"
NOTEBOOKS = ROOT / "notebooks"
PROFILES = ROOT / "profiles"
FIGURES = ROOT / "figures"


def runs_dir() -> Path:
    """Folder of all run outputs: ``STUDY_RUNS`` where it is set, else the repository's runs."""
    return Path(os.environ.get("STUDY_RUNS") or ROOT / "runs").resolve()


def run_dir(profile: str) -> Path:
    """Folder of one profile's outputs, ``runs/<profile>``; it need not exist yet."""
    return runs_dir() / profile
