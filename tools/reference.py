"""``side-effects compare``: a run's exhibits beside the committed ones, within tolerances.

The tolerances are in ``figures/tolerances.yml``, which explains its own keys. They hold where the
processor is that of the reference run. Another one rounds differently, and its base model is
another model: values that differ there are shown and not judged, while rows and columns are.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from lib.errors import InvalidValueError, require
from lib.study.paths import FIGURES, run_dir
from lib.study.text import read_yaml

TABLES = Path("figures") / "tables"
"""Where a run keeps its exhibits' tables; the same tree as in the repository."""

RUN = "run.json"
"""Beside the committed exhibits: seed, hardware and cost of the reference run."""

KEYS = ("arm", "condition", "metric")
"""Columns that name a row; rows are matched on them and on their order among equal names."""

SHOWN = 3
"""Differences listed for each exhibit; the count is given in full."""


@dataclass(frozen=True, config={"extra": "forbid"})
class Tolerance:
    """Allowed distance, ``|found - committed| <= absolute + relative * |committed| + slack``.

    An `undefined` value may be missing on one side: a share of an excess, say, exists only where
    the excess is beyond its error.
    """

    absolute: float = 0.0
    relative: float = 0.0
    undefined: bool = False

    def allows(
        self, found: np.ndarray, committed: np.ndarray, slack: np.ndarray | float = 0.0
    ) -> np.ndarray:
        """Element by element; two missing values agree, one missing value only if it may."""
        far = self.absolute + self.relative * np.abs(committed) + slack
        missing = np.isnan(found), np.isnan(committed)
        agree = (np.abs(found - committed) <= far) | (missing[0] & missing[1])
        return agree | (missing[0] | missing[1]) if self.undefined else agree


@dataclass(frozen=True, config={"extra": "forbid"})
class Tolerances:
    """One `Tolerance` a metric, an exhibit's own before the general ones.

    Exact columns (counts) must agree exactly, ignored ones (durations) are not compared;
    `intervals` is the slack of a row's numbers in widths of its 95 % interval, the wider side's.
    """

    default: Tolerance
    metrics: Mapping[str, Tolerance] = field(default_factory=dict)
    exhibits: Mapping[str, Mapping[str, Tolerance]] = field(default_factory=dict)
    exact_columns: tuple[str, ...] = ()
    ignored_columns: tuple[str, ...] = ()
    intervals: float = 0.0

    def of(self, exhibit: str, metric: str) -> Tolerance:
        """Tolerance of one metric in one exhibit."""
        own = self.exhibits.get(exhibit, {})
        return own.get(metric) or own.get("default") or self.metrics.get(metric, self.default)


def load_tolerances(path: Path | None = None) -> Tolerances:
    """Read the tolerances from YAML."""
    path = path or FIGURES / "tolerances.yml"
    try:
        return TypeAdapter(Tolerances).validate_python(read_yaml(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidValueError(
            f"tolerances in {path.name}", f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            "see figures/tolerances.yml",
        ) from None


@dataclass(frozen=True)
class Comparison:
    """Outcome for one exhibit: the number of cells compared, and one line for each difference.

    Where no cell was compared, a file, a column or a row is on one side only.
    """

    exhibit: str
    cells: int
    differences: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the two tables agree within the tolerances."""
        return not self.differences

    def __str__(self) -> str:
        if self.passed:
            return f"ok    {self.exhibit}: {self.cells} cells"
        more = len(self.differences) - SHOWN
        lines = [f"FAIL  {self.exhibit}: {len(self.differences)} differences"]
        lines += [f"      {line}" for line in self.differences[:SHOWN]]
        return "\n".join(lines + ([f"      and {more} more"] if more > 0 else []))


def compare(
    found: Path, committed: Path, tolerances: Tolerances, notebooks: str = ""
) -> list[Comparison]:
    """Compare two folders of ``<exhibit>.csv``, in the order of their ids.

    `notebooks` are numbers such as "00,03", whose exhibits alone are compared.
    """
    exhibits = sorted({path.stem for folder in (found, committed) for path in folder.glob("*.csv")})
    if notebooks:
        exhibits = [name for name in exhibits if name[:2] in notebooks.split(",")]
    return [_compare_files(found, committed, exhibit, tolerances) for exhibit in exhibits]


def _compare_files(found: Path, committed: Path, exhibit: str, limits: Tolerances) -> Comparison:
    for folder, what in ((found, "the run made no such table"), (committed, "not committed")):
        if not (folder / f"{exhibit}.csv").is_file():
            return Comparison(exhibit, 0, (what,))
    try:
        left, right = (pd.read_csv(folder / f"{exhibit}.csv") for folder in (found, committed))
    except (ValueError, OSError) as error:  # what pandas raises of damaged files
        return Comparison(exhibit, 0, (f"cannot be read: {error}",))
    return compare_tables(exhibit, left, right, limits)


def compare_tables(
    exhibit: str, found: pd.DataFrame, committed: pd.DataFrame, limits: Tolerances
) -> Comparison:
    """Compare two tables of one exhibit: same columns, same rows, then cell by cell."""
    if list(found.columns) != list(committed.columns):
        text = f"columns {', '.join(found)}; committed: {', '.join(committed)}"
        return Comparison(exhibit, 0, (text,))
    rows, other = _row_names(found), _row_names(committed)
    if rows != other:
        return Comparison(exhibit, 0, _row_differences(rows, other))
    columns = [c for c in found if c not in (*KEYS, *limits.ignored_columns)]
    lines = [line for c in columns for line in _column(exhibit, c, found, committed, rows, limits)]
    return Comparison(exhibit, len(rows) * len(columns), tuple(lines))


def _row_names(table: pd.DataFrame) -> list[str]:
    keys = [key for key in KEYS if key in table]
    return [" / ".join(map(str, row)) for row in table[keys].fillna("").itertuples(index=False)]


def _row_differences(found: Sequence[str], committed: Sequence[str]) -> tuple[str, ...]:
    lines = [f"missing row: {row}" for row in dict.fromkeys(committed) if row not in found]
    lines += [f"new row: {row}" for row in dict.fromkeys(found) if row not in committed]
    return tuple(lines) or (f"{len(found)} rows in another order; committed: {len(committed)}",)


def _column(
    exhibit: str, column: str, found: pd.DataFrame, committed: pd.DataFrame,
    rows: Sequence[str], limits: Tolerances,
) -> list[str]:
    """Differences in one column: text exactly, numbers within the tolerance of the row's metric."""
    left, right = found[column], committed[column]
    if not all(pd.api.types.is_numeric_dtype(side) for side in (left, right)):
        agree = (left.astype("string").fillna("") == right.astype("string").fillna("")).to_numpy()
    elif column in limits.exact_columns:
        agree = Tolerance().allows(left.to_numpy(float), right.to_numpy(float))
    else:
        metrics = found["metric"] if "metric" in found else [""] * len(found)
        slack = limits.intervals * np.fmax(_widths(found), _widths(committed))
        cells = zip(metrics, left.to_numpy(float), right.to_numpy(float), slack, strict=True)
        agree = np.array([limits.of(exhibit, str(m)).allows(a, b, w) for m, a, b, w in cells], bool)
    return [
        f"{rows[i]}: {column} {left.iloc[i]}, committed {right.iloc[i]}"
        for i in np.flatnonzero(~agree)
    ]


def _widths(table: pd.DataFrame) -> np.ndarray:
    """Width of each row's interval; 0 where it has none."""
    if not {"low", "high"} <= set(table):
        return np.zeros(len(table))
    return np.nan_to_num((table["high"] - table["low"]).to_numpy(float))


def report(
    found: Path | None = None, committed: Path | None = None, tolerances: Path | None = None,
    notebooks: str = "",
) -> tuple[str, bool]:
    """A line an exhibit and a closing count; and whether none differs, of at least one."""
    found, committed = found or run_dir("sandbox") / TABLES, committed or FIGURES / "tables"
    limits = load_tolerances(tolerances)
    require(any(found.glob("*.csv")), f"tables of a run in {found}", "none",
            "run the study first, ./run_all.sh, or name its tables with --found")
    results = compare(found, committed, limits, notebooks)
    machines = (processor(found.resolve().parents[1] / "manifest.json"),
                processor(committed.resolve().parent / RUN))
    elsewhere = None not in machines and machines[0] != machines[1]
    off = [result for result in results if not result.passed]
    failed = [result for result in off if not (elsewhere and result.cells)]
    lines = list(map(str, results))
    closing = f"{len(results) - len(off)} exhibits agree, {len(failed)} differ"
    if elsewhere:
        closing += (f", {len(off) - len(failed)} not judged: made on {machines[0]}, "
                    f"the reference on {machines[1]}")
    return "\n".join([*lines, closing]), bool(results) and not failed


def processor(manifest: Path) -> str | None:
    """The processor that a manifest, or the summary of the reference run, names; None without."""
    try:
        return json.loads(manifest.read_text(encoding="utf-8"))["hardware"]["cpu"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
