"""Runs on several base models as one result: the base is the unit of inference.

A run table has one row a run and cell. Seeds are averaged within a base, then bases, with variance
``V = B / K + W``: B that of the K bases' means, W that of one run over its items, which all bases
share, so that more bases do not shrink it. A change is taken on identical items and is about these
items: no W. Degrees of freedom are Satterthwaite's, K - 1 for a change. Limits of shares are scores
at the effective n that V implies (Wilson for levels, Bonett and Price for changes): they stay
inside the possible range and never coincide. `lib.statistics.coverage` simulates what they cover.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.power import TTestPower

from lib.errors import require
from lib.statistics.estimate import Estimate

CELL = ["arm", "condition", "metric"]
RUN_COLUMNS = ["arm", "condition", "metric", "base", "seed", "value", "se", "df", "n", "least",
               "most"]
NUMBERS = ["value", "low", "high", "n", "bases", "runs"]


def run_rows(table: pd.DataFrame, arm: object, base: int, seed: int) -> pd.DataFrame:
    """A metric table (`measure_table`) or `by_condition` table of one run, as run-table rows."""
    return all_run_rows([(table, arm, base, seed)])


def all_run_rows(found: Iterable[tuple[pd.DataFrame, object, int, int]]) -> pd.DataFrame:
    """`run_rows` of many runs; put together first, as pandas takes longer for each than for all."""
    told = [(table, [run] * len(table)) for table, *run in found]
    tidy = pd.concat([table for table, _ in told], ignore_index=True).rename(
        columns={"rho": "condition", "name": "metric"})
    arms, bases, seeds = zip(*(run for _, several in told for run in several), strict=True)
    # A share's own interval needs no t, its error over items does; resampling tells no df.
    own = np.fmin(tidy["df"], tidy["clusters"] - 1.0)
    tidy = tidy.assign(arm=[*arms], base=bases, seed=seeds, df=own.where(tidy["se"].notna()))
    return tidy.assign(**{end: tidy.get(end, wide) for end, wide in
                          {"least": -np.inf, "most": np.inf}.items()})[RUN_COLUMNS]


def run_row(
    estimate: Estimate, arm: object, condition: object, base: int, seed: int
) -> pd.DataFrame:
    """One estimate of one run; its range is that of a `Measure`, else without ends."""
    table = pd.DataFrame([vars(estimate) | {"condition": condition}])
    return run_rows(table, arm, base, seed)


def over_bases(runs: pd.DataFrame, by: Sequence[str] = CELL) -> pd.DataFrame:
    """Exhibit rows: mean over bases of each cell (``by``), its 95 % limits, and what is behind it.

    Cells are in order of first appearance; other columns are carried along where they are constant
    in every cell. Runs without a value are left out. One base has the limits over its items.
    """
    return _exhibit(runs, by, _summary(runs, by))


def predicted(runs: pd.DataFrame, by: Sequence[str] = CELL) -> pd.DataFrame:
    """`over_bases` with 95 % limits for one run on a new base, not for the mean of all.

    One base tells nothing of another: it has no limits.
    """
    found = _summary(runs, by)
    run, seeds = _within(runs, by)
    # Means of bases vary less than runs do: their seeds cancel a part.
    one = found["between"] * found["bases"] + run.fillna(0) * (1 - 1 / seeds)
    sd = np.sqrt(one + found["between"])
    reach = stats.t.ppf(0.975, found["bases"] - 1) * sd
    # Where all runs agree, the mean's own limits are wider.
    low = np.fmin(np.fmax(found["value"] - reach, found["least"]), found["low"])
    high = np.fmax(np.fmin(found["value"] + reach, found["most"]), found["high"])
    limits = pd.DataFrame({"low": low, "high": high}).where(found["bases"] > 1)
    return _exhibit(runs, by, found.assign(**limits))


def variances(runs: pd.DataFrame, by: Sequence[str] = CELL) -> pd.DataFrame:
    """Variance ``between`` bases and of a ``run`` within one, by cell; what `detectable` asks for.

    With one seed a base the two cannot be told apart: all is between bases.
    """
    found, (run, seeds) = _summary(runs, by), _within(runs, by)
    between = found["between"] * found["bases"] - run.fillna(0) / seeds
    heads = _exhibit(runs, by, found).drop(columns=["low", "high"])
    return heads.assign(between=between.clip(lower=0), run=run.fillna(0))


def _within(runs: pd.DataFrame, by: Sequence[str]) -> tuple[pd.Series, pd.Series]:
    """Pooled variance of runs within bases, and (harmonic) mean seeds a base, by cell."""
    bases = runs.groupby([_numbers(runs, by), runs["base"]])["value"]
    counts = bases.count().replace(0, np.nan)
    degrees = (counts - 1).groupby(level=0).sum()
    squares = (bases.var() * (counts - 1)).groupby(level=0).sum()
    return squares / degrees.where(degrees > 0), 1 / (1 / counts).groupby(level=0).mean()


def _numbers(runs: pd.DataFrame, by: Sequence[str]) -> pd.Series:
    """The cell of each row, numbered in order of first appearance."""
    require(len(runs), "a run table with rows", "an empty one", "check the filter before it")
    return runs.groupby([*by], sort=False, dropna=False).ngroup()


def _exhibit(runs: pd.DataFrame, by: Sequence[str], found: pd.DataFrame) -> pd.DataFrame:
    grouped = runs.groupby(_numbers(runs, by))
    others = [c for c in runs if c not in {*RUN_COLUMNS, *by}]
    kept = [c for c in others if (grouped[c].nunique(dropna=False) == 1).all()]
    heads = runs[~_numbers(runs, by).duplicated()].reset_index(drop=True)
    return pd.concat([heads[[*by]], found[NUMBERS], heads[kept]], axis=1)


def _summary(runs: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Of each cell: `NUMBERS`, and what is behind them (se, df, between, least, most, ..)."""
    cells = _numbers(runs, by)
    known = runs.assign(cell=cells, items=runs["se"] ** 2)[runs["value"].notna()]
    known["counted"] = (known["se"].isna() & known["value"].isin([0, 1])
                        & (known["least"] == 0) & (known["most"] == 1))
    means = known.groupby(["cell", "base"])["value"].mean()
    by_base, by_cell = means.groupby(level=0), known.groupby("cell")
    found = pd.DataFrame({
        "value": by_base.mean(), "changed": means.abs().groupby(level=0).mean(),
        "bases": by_base.size(), "runs": by_cell.size(),
        "between": by_base.var() / by_base.size(), "items": by_cell["items"].mean(),
        "item_df": by_cell["df"].min(), "counted": by_cell["counted"].all(),
        "least": by_cell["least"].min(), "most": by_cell["most"].max(),
    }).reindex(range(cells.max() + 1))
    found = found.assign(n=runs.groupby(cells)["n"].max(), counted=found["counted"].eq(True),
                         **found[["bases", "runs"]].fillna(0).astype(int))
    return _with_limits(_with_error(found))


def _with_error(found: pd.DataFrame) -> pd.DataFrame:
    """Add ``se``, the root of ``B / K + W``, and Satterthwaite's ``df``."""
    parts = found[["between", "items"]]
    dfs = np.column_stack([found["bases"] - 1, found["item_df"]])
    total = parts.sum(axis=1, min_count=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = total**2 / np.nansum(parts**2 / dfs, axis=1)
    # Of no variance at all there is no share of either part.
    df = np.where(total == 0, np.fmax(*dfs.T), df)
    return found.assign(se=np.sqrt(total), df=df)


def _with_limits(found: pd.DataFrame) -> pd.DataFrame:
    """Add ``low`` and ``high`` inside the range: scores where it has two ends, else t."""
    value, se, df, least, most, q = (
        found[c].to_numpy(float) for c in ("value", "se", "df", "least", "most", "changed"))
    # Where nothing varies, n is that of the groups of items, else of bases.
    seen = (found["item_df"] + 1).fillna(found["bases"]).to_numpy(float)
    t, width, change = stats.t.ppf(0.975, df), most - least, least == -most
    ends = np.stack([value - t * se, value + t * se])
    with np.errstate(divide="ignore", invalid="ignore"):
        levels = least + width * _score((value - least) / width, (se / width) ** 2, t, seen)
        pairs = most * _paired(value / most, q / most, (se / most) ** 2, t, seen)
        # Runs that are counted: two of one base are one, for they are anything but independent.
        counts = _score(value, 0 * value, stats.norm.ppf(0.975), found["bases"].to_numpy(float))
    ends = np.where(np.isfinite(width) & np.isfinite(t), np.where(change, pairs, levels), ends)
    low, high = np.clip(np.where(found["counted"], counts, ends), least, most)
    return found.assign(low=low, high=high)


def _score(p: np.ndarray, variance: np.ndarray, t: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Wilson's limits of a share at the n that gives this variance, shape ``(2, cells)``."""
    n = np.where((variance > 0) & (p > 0) & (p < 1), p * (1 - p) / variance, seen)
    reach = t * np.sqrt(p * (1 - p) / n + t**2 / (4 * n**2))
    ends = (p + t**2 / (2 * n) + np.stack([-reach, reach])) / (1 + t**2 / n)
    return ends.round(15)  # the limit of no ones is 0, not 2e-17


def _paired(
    d: np.ndarray, q: np.ndarray, variance: np.ndarray, t: np.ndarray, seen: np.ndarray
) -> np.ndarray:
    """Limits of a change of shares, with one item more lost and one more won (Bonett, Price 2012).

    Variance ``(q - d^2) / n``, q the share of items that changed: at least the mean of ``|d_k|``.
    """
    n = np.where((variance > 0) & (q > d**2), (q - d**2) / variance, seen)
    centre, q = n * d / (n + 2), (n * q + 2) / (n + 2)
    reach = t * np.sqrt((q - centre**2) / (n + 2))
    return np.stack([centre - reach, centre + reach])


def changes(
    runs: pd.DataFrame, against: object = "base", by: Sequence[str] = CELL,
    suffix: str = "_change",
) -> pd.DataFrame:
    """Run table of each run's value less that of arm ``against`` on the same base and items.

    Taken off is the run of the same seed where there is one, else the mean over its seeds. ``by``
    is what both must share, the arm apart; cells that ``against`` never has are left out.
    """
    pairs = _pairs(runs, against, by)
    width = pairs["most"] - pairs["least"]
    # Items that both share cancel, and more bases show what is left. One base alone shows nothing:
    # it gets the error of two that share no items, which is too wide.
    alone = pairs["base"].nunique() == 1
    pairs["se"] = np.hypot(pairs["se"], pairs["se_before"]) if alone else np.nan
    pairs = pairs.assign(metric=pairs["metric"] + suffix, least=-width, most=width,
                         value=pairs["value"] - pairs["value_before"])
    return pairs[[*runs.columns]]


def broken(
    runs: pd.DataFrame, metric: str = "refusal_rate", against: object = "base",
    by: Sequence[str] = CELL,
) -> pd.DataFrame:
    """Run table of ``broken_share``: 1 where a run lost more than half of its base's refusals.

    Pairs are those of `changes`. A base without refusals has none to lose, and no value.
    """
    pairs = _pairs(runs[runs["metric"] == metric], against, by)
    lost = (pairs["value"] < pairs["value_before"] / 2).astype(float)
    lost = lost.where(pairs["value_before"] > 0)
    pairs = pairs.assign(metric="broken_share", value=lost, se=np.nan, df=np.nan, least=0.0,
                         most=1.0)
    return pairs[[*runs.columns]]


def _pairs(runs: pd.DataFrame, against: object, by: Sequence[str]) -> pd.DataFrame:
    """Runs of other arms beside ``value_before`` and ``se_before`` of the one taken off."""
    mine, keys = (runs["arm"] == against).to_numpy(), [*(c for c in by if c != "arm"), "base"]
    require(mine.any(), f"the arm {against} in the run table", "none", "measure it, too")
    # Numbers instead of what they stand for: several merges on texts would take far longer.
    cell, place, same = (runs.groupby(k, sort=False, dropna=False).ngroup().to_numpy()
                         for k in (keys[:-1], keys, [*keys, "seed"]))
    kept = ~mine & np.isin(cell, cell[mine])
    after, before = runs[kept].reset_index(drop=True), runs.loc[mine, ["value", "se"]]
    lacking = sorted(after["base"][~np.isin(place[kept], place[mine])].unique().tolist())
    require(not lacking, f"the arm {against} on every base", f"none on {lacking}",
            "run it on the same bases")
    mean, own = (before.groupby(k[mine]).mean().reindex(k[kept]).reset_index(drop=True)
                 for k in (place, same))
    return after.join(own.fillna(mean).add_suffix("_before"))


@dataclass(frozen=True)
class Mean(Estimate):
    """Mean over bases (``clusters``), with a p-value not below that of a sign test of them."""

    def pvalue(self, null: float = 0.0) -> float:
        """Two-sided p-value from ``t(df)``, at least ``2^(1 - K)``."""
        return float(np.maximum(super().pvalue(null), 2.0 ** (1 - self.clusters)))


def contrast(
    runs: pd.DataFrame, metric: str, arm: object, against: object | None = "base",
    condition: object | None = None,
) -> Mean:
    """Mean over bases of an arm's change of a metric against another, or of its level (None).

    Of all conditions, their mean within each run.
    """
    wanted = runs[(runs["metric"] == metric) & runs["arm"].isin([arm, against])]
    if condition is not None:
        wanted = wanted[wanted["condition"] == condition]
    changed = wanted if against is None else changes(wanted, against)
    runs = _over_conditions(changed[changed["arm"] == arm])
    return _means(runs, ["arm", "metric"])[0]


def _over_conditions(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean over conditions within each run; their errors as if they shared no items."""
    grouped = runs.groupby(["arm", "metric", "base", "seed"], sort=False)
    table = grouped.agg({"value": "mean", "se": "mean", "df": "sum", "n": "sum", "least": "min",
                         "most": "max", "condition": "size"})
    return table.assign(se=table["se"] / np.sqrt(table["condition"]),
                        df=table["df"].where(table["df"] > 0)).reset_index()


def _means(runs: pd.DataFrame, by: Sequence[str]) -> list[Mean]:
    names = runs["metric"][~_numbers(runs, by).duplicated()]
    return [Mean(name, float(m.value), float(m.se), float(m.low), float(m.high), int(m.n),
                 int(m.bases), f"mean over bases, t({m.df:g})", float(m.df))
            for name, m in zip(names, _summary(runs, by).itertuples(), strict=True)]


def family(runs: pd.DataFrame, by: Sequence[str] = CELL) -> pd.DataFrame:
    """`over_bases` of a family of changes, all in the table, with ``p`` and ``p_holm`` over them.

    The family is listed before the results: filter the table by that list, and by nothing else.
    """
    p = [mean.pvalue() for mean in _means(runs, by)]
    return over_bases(runs, by).assign(p=p, p_holm=holm(p))


def holm(p: Sequence[float]) -> np.ndarray:
    """p-values adjusted for testing all (Holm 1979); a test that does not exist stays NaN."""
    p = np.asarray(p, dtype=float)
    known, adjusted = ~np.isnan(p), np.full(len(p), np.nan)
    # By hand: statsmodels' multipletests collects garbage first, half a second a call.
    order = np.flatnonzero(known)[np.argsort(p[known])]
    steps = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps * p[order]), 1.0)
    return adjusted


def detectable(
    between: float, bases: int, *, run: float = 0.0, seeds: int = 1, items: float = 0.0,
    most: float = np.inf, power: float = 0.8,
) -> float:
    """Smallest change found with probability ``power``, from variances known beforehand.

    ``d sqrt(between + run / seeds + bases items)``: variances of a change between bases, of runs
    within one, and of items that all share; d that of a t test of ``bases`` values. NaN: none,
    however large, as with a single base.
    """
    if bases < 2:
        return float("nan")
    effect = TTestPower().solve_power(nobs=bases, alpha=0.05, power=power)
    found = float(effect * np.sqrt(between + run / seeds + bases * items))
    return found if found <= most else float("nan")
