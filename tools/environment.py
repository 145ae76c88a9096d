"""Checks that this Python can run the study: its version, and its packages against the lock.

Needs nothing but the standard library and reads package metadata only, so that it can run before
anything is installed. ``python -m tools.environment`` prints the problem, if any, and exits 1.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from lib.errors import EnvironmentProblem, require
from lib.study.paths import ROOT

LOCK = ROOT / "requirements.lock"
"""Exact direct and transitive pins, the same for every route of installation."""

MINIMUM_PYTHON = (3, 11)
"""Lowest supported Python; ``pyproject.toml`` and ``environment.yml`` name the same."""

SHOWN = 5
"""Packages named in a message; a longer list hides the advice that follows it."""


class Difference(NamedTuple):
    """One package whose installed version is not the locked one; ``found`` is None if absent."""

    name: str
    wanted: str
    found: str | None

    def __str__(self) -> str:
        state = "missing" if self.found is None else f"at {self.found}"
        return f"{self.name} {state} (lock: {self.wanted})"


def canonical(name: str) -> str:
    """Package name in the form in which two spellings of it are equal (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def public(version: str) -> str:
    """Version without its local part: ``2.13.0+cpu`` is a build of ``2.13.0``."""
    return version.partition("+")[0]


def read_lock(path: Path = LOCK) -> dict[str, str]:
    """Locked versions by canonical package name; every line is an exact pin ``name==version``."""
    require(path.is_file(), f"a lock file at {path}", "none",
            "restore it with `git checkout requirements.lock`", EnvironmentProblem)
    pins = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!]+)", line.strip())
        require(match, "only lines of the form name==version in the lock", repr(line.strip()),
                "write the lock again with scripts/lock.sh", EnvironmentProblem)
        pins[canonical(match[1])] = match[2]
    return pins


def installed(search: Sequence[str] | None = None) -> dict[str, str]:
    """Versions by canonical name in `search` (``sys.path``); of two, that which is imported."""
    found = metadata.distributions() if search is None else metadata.distributions(path=search)
    versions: dict[str, str] = {}
    for package in found:
        # A half-removed package has a folder without a name, or without any file.
        with suppress(FileNotFoundError):
            if name := package.metadata["Name"]:
                versions.setdefault(canonical(name), package.version)
    return versions


def differences(pins: Mapping[str, str], versions: Mapping[str, str]) -> list[Difference]:
    """Locked packages that are missing or at another version, in the order of the lock."""
    return [
        Difference(name, wanted, versions.get(name))
        for name, wanted in pins.items()
        if public(versions.get(name, "")) != public(wanted)
    ]


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> None:
    """Raise `EnvironmentProblem` if this Python is older than `MINIMUM_PYTHON`."""
    require(
        version[:2] >= MINIMUM_PYTHON, f"Python {MINIMUM_PYTHON[0]}.{MINIMUM_PYTHON[1]} or newer",
        f"Python {'.'.join(map(str, version))} at {sys.executable}",
        "install a newer Python, or run ./run_all.sh --conda where conda is available",
        EnvironmentProblem,
    )


def check_packages(wrong: Iterable[Difference]) -> None:
    """Raise `EnvironmentProblem` naming the first few packages that differ from the lock."""
    wrong = list(wrong)
    names = ", ".join(map(str, wrong[:SHOWN]))
    more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    require(
        not wrong, f"the exact packages of requirements.lock in {sys.prefix}", f"{names}{more}",
        "start the study with ./run_all.sh, which installs what is missing, "
        "or run `pip install -r requirements.lock` in this environment", EnvironmentProblem,
    )


def check(lock: Path = LOCK) -> None:
    """Check the running Python and its packages against the lock."""
    check_python()
    check_packages(differences(read_lock(lock), installed()))


def forget_incomplete(site: Path) -> list[str]:
    """Remove metadata of packages whose installation was cut off, so that pip repeats them."""
    # pip writes RECORD last, but calls a package installed without it.
    cut_off = [folder for folder in site.glob("*.dist-info") if not (folder / "RECORD").is_file()]
    for folder in cut_off:
        shutil.rmtree(folder)
    return sorted(folder.name for folder in cut_off)


def main(arguments: Sequence[str] = ()) -> int:
    """Print the problem of this environment, if any; ``--resume`` first mends a cut-off install."""
    if "--resume" in arguments:
        import sysconfig

        forget_incomplete(Path(sysconfig.get_path("purelib")))
        return 0
    try:
        check()
    except EnvironmentProblem as problem:
        print(problem)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
