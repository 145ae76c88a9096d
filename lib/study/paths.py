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
REAL_FIGURES = FIGURES / "real"
"""Exhibits of the real model's run, under the same names as the reference's."""


WORLD, PLANTED, WORLDS = "STUDY_WORLD", "sandbox", ("sandbox", "policy")
"""Environment variable: the folder of ``data/`` with the words of all that is asked; by default
those of the planted world. A `lib.study.notebook.Study` sets it, and its workers inherit it."""


def world() -> str:
    """Name of the world whose words are used in this process."""
    return os.environ.get(WORLD) or PLANTED


def runs_dir() -> Path:
    """Folder of all run outputs: ``STUDY_RUNS`` where it is set, else the repository's runs."""
    return Path(os.environ.get("STUDY_RUNS") or ROOT / "runs").resolve()


def run_dir(profile: str) -> Path:
    """Folder of one profile's outputs, ``runs/<profile>``; it need not exist yet."""
    return runs_dir() / profile
