"""``side-effects publish``: an executed notebook's outputs and exhibits, for the committed ones."""

import json
import shutil
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode, ValidationError

from lib.chapters.claims import REAL
from lib.errors import InvalidValueError
from lib.study.disk import storage_errors
from lib.study.fingerprint import notebook_fingerprint
from lib.study.notebook import REFERENCE

PLACES = (".", "tables", "runs")
"""Where exhibits lie below a folder of figures."""


def publish(executed: Path, committed: Path) -> None:
    """Copy the outputs of `executed` into `committed`, which keeps its own cells.

    ``metadata.study.source_sha256`` records the source that gave them: where it differs from
    `notebook_fingerprint`, the outputs are stale (`is_current`).
    """
    cells = [cell for cell in _read(executed).cells if not _injected(cell)]
    target = _read(committed)
    _require_same(cells, target.cells, committed.name)
    pairs = zip(cells, target.cells, strict=True)
    code = [(run, cell) for run, cell in pairs if cell.cell_type == "code"]
    for count, (run, cell) in enumerate(code, start=1):
        cell.outputs = [_counted(output, count) for output in run.outputs]
        cell.execution_count = count
    target.metadata["study"] = {"source_sha256": notebook_fingerprint(committed)}
    nbformat.write(target, committed)


def publish_exhibits(executed: Path, figures: Path) -> int | None:
    """Put figures, tables and run tables of a committed run's notebook in place of the committed.

    Those of the reference, and of the real model's run below it. Returns how many files; None
    where the run is of another profile, whose exhibits stay its own.
    """
    run = _manifest(executed)
    if run.get("profile") not in (REFERENCE, REAL) or run["parameters"]:
        return None
    figures = figures / REAL if run["profile"] == REAL else figures
    source, pattern = executed.parent / "figures", f"{executed.stem[:2]}_*.*"
    names = [path.relative_to(source) for path in sorted(source.rglob(pattern))]
    with storage_errors(figures):
        for path in [p for place in PLACES for p in (figures / place).glob(pattern)]:
            path.unlink()
        for name in names:
            (figures / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, figures / name)
    return len(names)


def is_of_real(executed: Path) -> bool:
    """Whether it is the real model's run: its exhibits are committed, its notebooks are not."""
    return _manifest(executed).get("profile") == REAL


def _manifest(executed: Path) -> dict[str, Any]:
    path = executed.parent / "manifest.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def is_current(path: Path) -> bool:
    """Whether the stored outputs of a notebook came from its present source."""
    stored = nbformat.read(path, as_version=4).metadata.get("study", {}).get("source_sha256")
    return stored == notebook_fingerprint(path)


def _read(path: Path) -> NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, ValidationError) as error:
        raise InvalidValueError(
            f"a notebook at {path}", type(error).__name__, "name an executed notebook of this study"
        ) from None


def _injected(cell: NotebookNode) -> bool:
    return "injected-parameters" in cell.metadata.get("tags", [])


def _require_same(run: list[NotebookNode], source: list[NotebookNode], name: str) -> None:
    same = [(c.cell_type, c.source) for c in run] == [(c.cell_type, c.source) for c in source]
    code = [cell for cell in run if cell.cell_type == "code"]
    failed = any(o.output_type == "error" for cell in code for o in cell.outputs)
    if not same or failed or any(cell.execution_count is None for cell in code):
        raise InvalidValueError(
            f"a complete run of the present source of {name}",
            "other cells, cells that were not run, or an error",
            "run the notebook again, then publish it",
        )


def _counted(output: NotebookNode, count: int) -> NotebookNode:
    if "execution_count" in output:
        output.execution_count = count
    return output

