"""Which notebooks there are, which were asked for, and which have to run."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib.errors import CorruptArtefactError, InvalidValueError, UnknownNameError, nearest
from lib.study import paths
from lib.study.fingerprint import (
    SOURCES,
    file_sha256,
    notebook_cells,
    notebook_fingerprint,
    notebook_modules,
    packages,
)
from lib.study.profiles import Profile
from lib.study.store import verify

CAUSES = {
    "source": "its source changed",
    "parameters": "its parameters changed",
    "code": "lib or data that it uses changed",
}


@dataclass(frozen=True)
class Notebook:
    """One notebook file; the order of the study is the order of the names."""

    path: Path

    @property
    def name(self) -> str:
        """File name without ending, such as ``03_correction``."""
        return self.path.stem

    @property
    def number(self) -> str:
        """The two digits that its name starts with."""
        return self.name[:2]

    def title(self) -> str:
        """First heading, or the name."""
        try:
            text = "\n".join(cell["source"] for cell in notebook_cells(self.path))
        except InvalidValueError:
            return self.name  # running it says what is wrong
        heading = re.search(r"^#\s+(.+)$", text, re.MULTILINE)
        return heading[1].strip() if heading else self.name


def discover(folder: Path) -> list[Notebook]:
    """Notebooks ``NN_name.ipynb`` of a folder, in order."""
    return [Notebook(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))]


def select(
    notebooks: Sequence[Notebook], only: Sequence[str] = (), start: str | None = None
) -> list[Notebook]:
    """The notebooks named in `only`, or those from `start` on; all without either."""
    if only:
        wanted = {find(notebooks, name) for name in only}
        return [notebook for notebook in notebooks if notebook in wanted]
    if start is not None:
        return list(notebooks[list(notebooks).index(find(notebooks, start)):])
    return list(notebooks)


def find(notebooks: Sequence[Notebook], name: str) -> Notebook:
    """The notebook with this number ("3", "03"), name or file name."""
    wanted = Path(name).name.removesuffix(".ipynb")
    for notebook in notebooks:
        if wanted in (notebook.name, notebook.number, notebook.number.removeprefix("0")):
            return notebook
    names = [notebook.name for notebook in notebooks]
    raise UnknownNameError(
        f"a notebook, one of {', '.join(names) or '(there are none)'}", repr(name),
        nearest(name, names),
    )


def fingerprint(notebook: Notebook, profile: Profile) -> dict[str, Any]:
    """Hashes of source, parameters, and code and data that it uses; versions of packages."""
    settings = profile.model_dump(mode="json", exclude={"description"})
    return {
        "source": notebook_fingerprint(notebook.path),
        "parameters": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(),
        "code": SOURCES.code(notebook_modules(notebook.path)),
        "packages": packages(drawing=True),
    }


def reason_to_run(
    entry: dict[str, Any] | None, current: dict[str, Any], run_dir: Path, output: str
) -> str | None:
    """Why a notebook has to run, given its `entry` in the manifest; None if its result stands."""
    if entry is None:
        return "it has not run yet"
    if entry["status"] != "done":
        return "its last run failed"
    for part, cause in CAUSES.items():
        if entry["fingerprint"].get(part) != current[part]:
            return cause
    if cause := _changed_packages(entry["fingerprint"].get("packages"), current["packages"]):
        return cause
    for name, sha256 in {output: entry["output"], **entry["exhibits"]}.items():
        path = run_dir / name
        if not path.is_file() or file_sha256(path) != sha256:
            return f"{name} is missing or was changed"
    for name, sha256 in entry.get("committed", {}).items():
        path = paths.FIGURES / name
        if (file_sha256(path) if path.is_file() else "") != sha256:
            return f"the committed {name} changed"
    for name, key in entry["artefacts"].items():
        try:
            verify(run_dir / name, key)
        except CorruptArtefactError as error:
            return f"{name} has {error.found}"
    return None


def _changed_packages(before: Any, now: dict[str, str]) -> str | None:
    if not isinstance(before, dict):
        return "the versions of its packages are not known"
    changed = [f"{name} {before.get(name, 'none')} -> {version}"
               for name, version in now.items() if before.get(name, "none") != version]
    return f"packages changed: {', '.join(changed)}" if changed else None
