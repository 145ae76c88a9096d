"""``side-effects handout``: the notebooks as a lecturer gives them out, without solutions."""

import re
from pathlib import Path

import nbformat

from lib.errors import require
from lib.study.disk import write_text

SOLUTION = re.compile(r"\n*<details><summary>Solution.*?</details>\n?", re.DOTALL)


def handout(notebooks: Path, out: Path) -> int:
    """Write every notebook of a folder without solutions and outputs; returns how many."""
    require(out.resolve() != notebooks.resolve() and not (out.exists() and any(out.iterdir())),
            "a new or empty folder to write", str(out), "name another")
    paths = sorted(notebooks.glob("[0-9][0-9]_*.ipynb"))
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = SOLUTION.sub("\n", cell.source).strip("\n")
            else:
                cell.outputs, cell.execution_count = [], None
        notebook.metadata["study"] = {"handout": True}
        write_text(out / path.name, nbformat.writes(notebook) + "\n")
    return len(paths)


def is_handout(path: Path) -> bool:
    """Whether a notebook was written by `handout`: what tests ask of outputs is not asked of it."""
    metadata = nbformat.read(path, as_version=4).metadata
    return bool(metadata.get("study", {}).get("handout"))
