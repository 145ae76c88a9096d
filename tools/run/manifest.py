"""``runs/<profile>/manifest.json``: what ran, on what, when, and the hash of every exhibit.

The only place for times and machine facts: two runs with the same seed give the same result files.
What is not as it was written counts as damaged: its notebook runs again.
"""

import json
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lib.study import machine
from lib.study.disk import write_text
from lib.study.fingerprint import file_sha256
from lib.study.profiles import Profile

FILE = "manifest.json"
FIGURES = "figures"
"""Folder of the exhibits in a run folder."""


def _within(name: str) -> str:
    """A name such as ``models/base-0123``, in the form in which it is written."""
    parts = PurePosixPath(name).parts
    if len(parts) < 2 or name != "/".join(parts) or {"..", "/"} & set(parts) or "\\" in name:
        raise ValueError("not a name inside the run folder")
    return name


def _exhibit(name: str) -> str:
    if not name.startswith(f"{FIGURES}/"):
        raise ValueError("not an exhibit")
    return name


Artefact = Annotated[str, AfterValidator(_within)]
Exhibit = Annotated[Artefact, AfterValidator(_exhibit)]


class Entry(BaseModel):
    """One notebook's last run: the parts that are relied on."""

    model_config = ConfigDict(strict=True)

    status: Literal["done", "failed"]
    seconds: float = Field(ge=0, allow_inf_nan=False)
    fingerprint: dict[str, Any]
    exhibits: dict[Exhibit, str]
    artefacts: dict[Artefact, str]
    committed: dict[Artefact, str] = {}
    output: str = ""


class Manifest:
    """The manifest of one run folder; absent or damaged, it starts empty."""

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / FILE
        self.notebooks: dict[str, dict[str, Any]] = {}
        self._facts: dict[str, Any] = {}
        found = self._read() if self.path.is_file() else {}
        for name, entry in found.items():
            try:
                Entry.model_validate(entry)
                self.notebooks[name] = entry
            except ValidationError:
                continue
        self.damaged = len(self.notebooks) < len(found)

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.path.read_text(encoding="utf-8"))["notebooks"])
        except (ValueError, KeyError, TypeError):
            return {"": None}

    def seconds(self, name: str) -> float | None:
        """Duration of a notebook's last complete run; None if there was none."""
        entry = self.notebooks.get(name, {})
        return entry.get("seconds") if entry.get("status") == "done" else None

    def describe(self, profile: Profile, overrides: dict[str, Any]) -> None:
        """Note what this run is and what it runs on; called once something is going to run."""
        self._facts = {
            "profile": profile.name, "seed": profile.seed, "parameters": overrides,
            "settings": profile.model_dump(mode="json"), "versions": machine.versions(),
            "hardware": machine.hardware(), "commit": machine.commit(),
        }

    def save(self, name: str, entry: dict[str, Any]) -> None:
        """Replace one notebook's entry and write the file, whole."""
        self.notebooks[name] = entry
        notebooks = dict(sorted(self.notebooks.items()))
        content = {**self._facts, "updated": now(), "notebooks": notebooks}
        write_text(self.path, json.dumps(content, indent=1) + "\n")


def now() -> str:
    """Current time, UTC, to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_trace(path: Path) -> tuple[dict[str, str], list[str], dict[str, str]]:
    """What a notebook noted while it ran: artefacts used (folder to key), exhibit files it wrote,
    and committed tables that it read (name to hash, empty where there was none)."""
    artefacts: dict[str, str] = {}
    exhibits: list[str] = []
    committed: dict[str, str] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in map(json.loads, lines):
        if "artefact" in line:
            artefacts[line["artefact"]] = line["key"]
        elif "committed" in line:
            committed[line["committed"]] = line["sha256"]
        else:
            exhibits += line["files"]
    return artefacts, sorted(set(exhibits)), committed


def hashes(run_dir: Path, names: list[str]) -> dict[str, str]:
    """SHA-256 of those files of the run folder that exist, by relative name."""
    return {name: file_sha256(run_dir / name) for name in names if (run_dir / name).is_file()}
