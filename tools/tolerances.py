"""``side-effects tolerances``: how far other arithmetic moves the cells of a run.

Several runs of one profile, made on the same base models under other arithmetic (processor, vector
instructions, threads), are held against the first, cell by cell. The largest distance of a metric
in an exhibit, doubled, becomes its tolerance. Where that is more than a quarter of the metric's
scale, the metric is a coin: its tolerance covers the cells that did not fall otherwise, and the
share of runs that did is written beside it. Few reruns do not show the largest distance there is,
so each is also held against the tolerances of the others: how many of its cells lie beyond, and how
far, doubled, is what a new run may do (strays).
"""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from lib.errors import require
from lib.study.disk import write_text
from lib.study.notebook import read_table
from tools.reference import TOLERANCES, Tolerance, paired, runs_of, same_runs

FACTOR = 2.0
"""A new run is one more draw: the largest of few distances is passed now and then."""
COIN = 0.25
"""Of the metric's scale: what is further away fell on the other side."""
ITEMS = 2
"""Of a share: one item more or less is the least that can be seen, and may always turn."""
ROUNDING = 1e-5
"""Tables have six digits."""

HEADER = """\
# How far a run's cells may lie from the committed ones: absolute + relative * |committed|.
# Measured by side-effects tolerances from the runs below: the largest distance of any from the
# first, doubled; no width of an interval is in it. `beyond` and `of` mark a coin, whose tolerance
# is a quarter of its scale: the share, of so many runs, that other arithmetic put beyond it.
# `strays`: the largest share of a run's cells that lay beyond the tolerances of the other runs, and
# how many times as far, both doubled.
"""


def write_tolerances(runs: Sequence[Path], out: Path = TOLERANCES) -> str:
    """Measure tolerances from run folders and write them; returns what was written, in short."""
    require(len(runs) > 1, "two run folders or more, the first to hold the others against",
            f"{len(runs)}", "rerun the profile under other arithmetic and name both")
    pairs = beside_first([run / "figures" for run in runs])
    found = {exhibit: {str(metric): measured(cells) for metric, cells in
                       cells.groupby("metric", sort=False)} for exhibit, cells in pairs.items()}
    content = {"measured": [_made(run) for run in runs], "strays": strays(pairs.values()),
               "exhibits": found}
    write_text(out, HEADER + yaml.safe_dump(content, sort_keys=False, width=110))
    kinds = ["of" in limit for several in found.values() for limit in several.values()]
    return f"{len(kinds)} tolerances from {len(runs)} runs, {sum(kinds)} of them coins: {out}"


def beside_first(figures: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """Cells of each exhibit of all folders but the first, beside those of the first."""
    found = {}
    for kind in ("tables", "runs"):  # runs, where there are some, take the place of the table
        for path in sorted((figures[0] / kind).glob("*.csv")):
            others = [folder / kind / path.name for folder in figures[1:]]
            first = read_table(path)
            found[path.stem] = pd.concat(
                [same_runs(paired(read_table(other), first)).assign(rerun=str(number))
                 for number, other in enumerate(others) if other.is_file()] or [pd.DataFrame()])
    return {exhibit: pairs for exhibit, pairs in found.items() if len(pairs)}


def strays(exhibits: Iterable[pd.DataFrame]) -> dict[str, float]:
    """`Strays` of each rerun against the tolerances of the others; none of a single one."""
    away = [pd.DataFrame({"rerun": one, "times": _times(cells, cells["rerun"] == one)})
            for pairs in exhibits for _, cells in pairs.groupby("metric", sort=False)
            for one in cells["rerun"].unique() if cells["rerun"].nunique() > 1]
    if not away:
        return {"share": 0.0, "times": 1.0}
    away = pd.concat(away)
    share = (away["times"] > 1).groupby(away["rerun"]).mean().max()
    return {"share": _rounded(min(1.0, FACTOR * share)),
            "times": _rounded(max(1.0, FACTOR * away["times"].max()))}


def _times(cells: pd.DataFrame, own: pd.Series) -> pd.Series:
    """How many tolerances of the other reruns away each own cell is; a coin's cells: 0."""
    limit, cells = Tolerance(**measured(cells[~own])), cells[own]
    apart = [limit.times(pd.to_numeric(cells[column]), pd.to_numeric(cells[f"{column}_committed"]))
             for column in ("value", "low", "high") if column in cells]
    found = pd.Series(np.fmax.reduce(apart), cells.index)
    return found.where(np.isfinite(found) & (limit.of == 0), 0.0)


def measured(cells: pd.DataFrame) -> dict[str, float]:
    """The tolerance of one metric, as `Tolerance` has it."""
    scale, kind, least = _scale(cells)
    apart = np.fmax.reduce([_distance(cells, column, kind) for column in ("value", "low", "high")
                            if column in cells])
    limit = _rounded(max(FACTOR * apart.max(), least))
    if limit <= COIN * scale:
        return {kind: limit}
    far = apart > COIN * scale
    runs = runs_of(cells)
    return {kind: _rounded(COIN * scale), "beyond": round(runs[far].nunique() / runs.nunique(), 4),
            "of": int(runs.nunique())}


def _scale(cells: pd.DataFrame) -> tuple[float, str, float]:
    """Size of a metric, how its distances are taken, and the least tolerance that makes sense."""
    ends = [cells.get(end, pd.Series([np.nan])).iloc[0] for end in ("least", "most")]
    width = ends[1] - ends[0]
    if np.isfinite(width):  # a share, or a change of one
        turned = ITEMS / cells["n"].min()
        return float(width / 2 if ends[0] < 0 else width), "absolute", np.fmax(turned, ROUNDING)
    if ends[0] >= 0:
        return 1.0, "relative", ROUNDING
    size = float(cells["value"].abs().median())
    return size, "absolute", ROUNDING * size


def _distance(cells: pd.DataFrame, column: str, kind: str) -> np.ndarray:
    """From the first run, cell by cell; infinite where a value is missing on one side."""
    found, first = (pd.to_numeric(cells[name]).to_numpy(float)
                    for name in (column, f"{column}_committed"))
    apart = np.abs(found - first) / (np.abs(first) if kind == "relative" else 1.0)
    lone = np.isnan(found) != np.isnan(first)
    return np.where(lone, np.inf, np.nan_to_num(apart, nan=0.0, posinf=np.inf))


def _rounded(value: float) -> float:
    """Up, to two digits."""
    if not 0 < value < np.inf:
        return float(value)
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.6g}")


def _made(run: Path) -> dict[str, Any]:
    """What a run was made on: processor, cores, and settings of the environment that round."""
    facts = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    return {"profile": facts["profile"], "seed": facts["seed"], "cpu": facts["hardware"]["cpu"],
            "cores": facts["hardware"]["cores"], **facts["hardware"].get("arithmetic", {})}
