"""One notebook's view of the study: its profile, seed, artefacts and exhibits."""

import io
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lib.errors import require
from lib.study import paths
from lib.study.disk import write_bytes, write_text
from lib.study.fingerprint import file_sha256
from lib.study.profiles import is_part, load_profile
from lib.study.store import Store, trace
from lib.study.text import parse_yaml

if TYPE_CHECKING:
    from matplotlib.figure import Figure


COLUMNS = ["arm", "condition", "metric", "value", "low", "high", "n", "bases", "runs"]
"""First columns of every exhibit's table; more may follow."""
RUN_HEADS = ["arm", "condition", "metric", "base", "seed", "value", "se", "df", "n"]
"""First columns of the table of runs behind it; `lib.statistics.bases` has more."""
COUNTS = ("n", "bases", "runs", "base", "seed")

DPI = 200
"""Dots per inch of saved figures."""
DRAWN = ("savefig.", "svg.", "path.", "agg.", "image.")
"""Settings of matplotlib that are looked up when a figure is saved."""

REFERENCE = "reference"
"""The profile of the committed book."""
RUN = "run.json"
"""Beside the committed exhibits: seed, bases, hardware and cost of the run that made them."""

ONLY = re.compile(r"# Only (in the planted world|for a real model)\b(.*)")
"""First line of a cell that makes no sense elsewhere: there it is printed, and nothing run."""

# Tables here are small and often cut: texts as Python's own take a tenth less time than Arrow's.
pd.set_option("mode.string_storage", "python")

NUMBER = re.compile(r"^\d\d$")
EXHIBIT = re.compile(r"^\d\d_[a-z0-9_]+$")


class Study:
    """What a notebook opens first; its arguments are the notebook's three parameters.

    Parameters
    ----------
    profile : str
        Name of a profile, or a path that ends in ``.yaml``.
    seed : int or None
        Seed of this run; None takes the profile's.
    overrides : mapping, str or None
        New values of the profile's settings by dotted name; also as JSON or YAML text, as
        papermill's ``-p overrides '{finetune.rank: 8}'`` gives them.
    notebook : str
        The notebook's two-digit number, such as "03".

    Attributes
    ----------
    profile : Profile
        The resolved settings, overrides and seed included.
    run_dir : Path
        ``runs/<profile>``, which also holds the artefacts of `store`.
    """

    def __init__(
        self,
        profile: str,
        seed: int | None = None,
        overrides: Mapping[str, Any] | str | None = None,
        notebook: str = "00",
    ) -> None:
        require(NUMBER.match(notebook), "a notebook's two-digit number", repr(notebook),
                'pass "03"')
        given = {} if seed is None else {"seed": seed}
        self.profile = load_profile(profile, _mapping(overrides) | given)
        os.environ[paths.WORLD] = self.profile.model.world  # for this process and its workers
        _skip_cells(planted=self.profile.model.source == "sandbox")
        self.seed = self.profile.seed
        self.notebook = notebook
        self.run_dir = paths.run_dir(self.profile.name)
        self.store = Store(self.run_dir)

    def start_workers(self) -> None:
        """Let worker processes import what they need while the notebook goes on."""
        from lib.study.workers import start  # torch

        start(self.profile.workers)

    def exhibit(
        self, id: str, table: pd.DataFrame, figure: "Figure | None" = None,
        runs: pd.DataFrame | None = None,
    ) -> None:
        """Save ``figures/tables/<id>.csv`` in the run folder; figures as PNG and SVG.

        The same table and figure give the same bytes, whenever they are saved.

        Parameters
        ----------
        id : str
            ``NN_slug``, where NN is this notebook's number.
        table : DataFrame
            Has the columns arm, condition, metric, value, low, high, n, bases, runs, in any order.
        figure : Figure, optional
        runs : DataFrame, optional
            One row a run, from which the table was made; saved as ``figures/runs/<id>.csv``.
        """
        self._check(id, table, COLUMNS)
        folder = self.run_dir / "figures"
        written = [folder / "tables" / f"{id}.csv"]
        write_text(written[0], csv_text(table, COLUMNS))
        if runs is not None:
            self._check(id, runs, RUN_HEADS)
            written.append(folder / "runs" / f"{id}.csv")
            write_text(written[-1], csv_text(runs, RUN_HEADS))
        for format in ("png", "svg") if figure is not None else ():
            written.append(folder / f"{id}.{format}")
            write_bytes(written[-1], figure_bytes(figure, format, salt=id))
        names = [path.relative_to(self.run_dir).as_posix() for path in written]
        trace({"exhibit": id, "files": names})

    def reference(self, id: str) -> pd.DataFrame | None:
        """The committed table of an exhibit, to be drawn behind this run's.

        None in the reference itself, where this profile is no part of it, and where there is none.

        Parameters
        ----------
        id : str
            As in `exhibit`.
        """
        return self.committed(f"tables/{id}.csv", COLUMNS)

    def committed(self, name: str, columns: Sequence[str]) -> pd.DataFrame | None:
        """The same of any table below ``figures``; the runner takes note of what was read."""
        if not self._beside_reference:
            return None
        path = paths.FIGURES / name
        trace({"committed": name, "sha256": file_sha256(path) if path.is_file() else ""})
        found = read_table(path) if path.is_file() else None
        return None if found is None or set(columns) - set(found) else found

    @cached_property
    def _beside_reference(self) -> bool:
        whole = load_profile(REFERENCE)
        part = self.profile.name != whole.name and is_part(self.profile, whole)
        return part and reference_committed()

    def of_real(self, name: str) -> pd.DataFrame | None:
        """A committed table of the real model's run, by its name in ``figures/real``, or None."""
        path = paths.REAL_FIGURES / name
        trace({"committed": f"real/{name}", "sha256": file_sha256(path) if path.is_file() else ""})
        return read_table(path) if path.is_file() else None

    def _check(self, id: str, table: pd.DataFrame, columns: Sequence[str]) -> None:
        require(EXHIBIT.match(id) and id.startswith(f"{self.notebook}_"),
                f"an exhibit id that starts with {self.notebook}_ (lower case, digits, _)",
                repr(id), "rename the exhibit, or correct Study(notebook=...)")
        missing = [name for name in columns if name not in table.columns]
        require(not missing, f"the columns {', '.join(columns)} in the table of {id}",
                f"no {', '.join(missing)}", "add them; an empty value is allowed")


def cell_to_run(lines: list[str], planted: bool) -> list[str]:
    """A cell's lines, or a line that prints why it is not for this kind of model (`ONLY`)."""
    found = ONLY.match(lines[0]) if lines else None
    if found is None or (found[1] == "in the planted world") == planted:
        return lines
    return [f"print({found[0].removeprefix('# ')!r})\n"]


def _skip_cells(planted: bool) -> None:
    """Have the notebook in which this runs, if any, pass over cells of the other kind of model."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return
    rules = shell.input_transformers_cleanup
    rules[:] = [rule for rule in rules if getattr(rule, "func", None) is not cell_to_run]
    rules.append(partial(cell_to_run, planted=planted))


def reference_committed() -> bool:
    """Whether the committed exhibits are the reference's, and not of a smaller run meanwhile."""
    path = paths.FIGURES / RUN
    facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return facts.get("profile", REFERENCE) == REFERENCE


def _mapping(overrides: Mapping[str, Any] | str | None) -> dict[str, Any]:
    read = parse_yaml(overrides, "overrides") if isinstance(overrides, str) else overrides
    require(
        read is None or isinstance(read, Mapping),
        "overrides as a mapping of setting to value, or as its JSON or YAML text",
        repr(overrides), "pass something like {finetune.rank: 8}, or nothing",
    )
    return dict(read or {})


def csv_text(table: pd.DataFrame, columns: Sequence[str]) -> str:
    """The table as CSV: `columns` first, whole counts, floats with six significant digits."""
    more = [name for name in table.columns if name not in columns]
    tidy = table[[*columns, *more]].copy()
    for name in tidy.columns:
        # Object columns too: a mix of numbers and gaps must not escape the rounding.
        tidy[name] = [_text(value, whole=name in COUNTS) for value in tidy[name]]
    return tidy.to_csv(index=False, lineterminator="\n")


def read_table(path: Path) -> pd.DataFrame:
    """A table that `csv_text` wrote; numbers among the texts of ``condition`` are numbers again."""
    table = pd.read_csv(path, float_precision="round_trip")
    if "condition" in table:
        numbers = pd.to_numeric(table["condition"], errors="coerce")
        table["condition"] = numbers.where(numbers.notna(), table["condition"])
    return table


def figure_bytes(figure: "Figure", format: str, salt: str) -> bytes:
    """The figure as PNG or SVG without dates, versions, random ids or a user's own settings."""
    import matplotlib

    metadata = {"Date": None, "Creator": None} if format == "svg" else {"Software": None}
    buffer = io.BytesIO()
    fixed = {name: value for name, value in matplotlib.rcParamsDefault.items()
             if name.startswith(DRAWN)}
    with matplotlib.rc_context(fixed | {"savefig.dpi": DPI, "svg.hashsalt": salt}):
        figure.savefig(buffer, format=format, metadata=metadata)
    return buffer.getvalue()


def _text(value: Any, whole: bool) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    if isinstance(value, Real) and not isinstance(value, Integral):
        # A count with gaps arrives as floats; adding zero turns -0.0 into 0.0.
        return f"{value:.0f}" if whole and value % 1 == 0 else f"{value + 0.0:.6g}"
    return str(value)
