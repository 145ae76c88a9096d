"""Before and after an intervention, on identical items."""

import numpy as np
import pandas as pd

from lib.errors import require
from lib.statistics.clusters import clustered_fit
from lib.statistics.estimate import Estimate
from lib.statistics.regressions import (
    Estimator,
    from_fit,
    numbers,
    require_columns,
    variables,
)


def compare(
    before: pd.DataFrame, after: pd.DataFrame, estimator: Estimator, by: str
) -> dict[float, Estimate]:
    """After less before of a slope, within each value of a column.

    d in ``y = a + a' post + b x + d (post * x) + u``.
    """
    before, after = align(before, after)
    return {value: _stacked(before.iloc[rows], after.iloc[rows], estimator)
            for value, rows in before.groupby(by).indices.items()}


def _stacked(before: pd.DataFrame, after: pd.DataFrame, estimator: Estimator) -> Estimate:
    name = getattr(estimator, "__name__", str(estimator))
    (y0, x0), (y1, x1) = variables(name, before), variables(name, after)
    post = np.repeat([0.0, 1.0], len(x0))
    x = np.concatenate([x0, x1])
    design = np.column_stack([np.ones_like(x), post, x, post * x])
    # A series is one cluster in both halves: what both models share, the items, cancels. Frames
    # taken as independent would overstate the error by about half.
    series = pd.concat([before["series"], after["series"]])
    fit = clustered_fit(np.concatenate([y0, y1]), design, series)
    kind = "stacked before/after, cluster by series"
    return from_fit(f"{name}_change", fit, 3, series.nunique(), kind)


def share_removed(
    before: pd.DataFrame, after: pd.DataFrame, rational: pd.DataFrame, by: str, draws: int = 2000,
    *, seed: int = 0,
) -> Estimate:
    """Share of excess persistence removed: ``1 - (rs_after - r) / (rs_before - r)``."""
    (before, after), (_, rational) = align(before, after), align(before, rational)
    cells, series = (pd.factorize(before[name])[0] for name in (by, "series"))
    arms = [np.stack([numbers(arm, "forecast"), numbers(arm, "x")])
            for arm in (before, after, rational)]
    # Summed over conditions before dividing: one with nothing to remove must not explode.
    first, second, target = sum(
        _bootstrap_slopes([arm[:, cells == c] for arm in arms], series[cells == c], draws, seed + c)
        for c in set(cells)
    )
    excess_before, excess_after = first - target, second - target
    require(excess_before[0] > 0,
            "implied persistence above the rational one before the intervention",
            f"an excess of {excess_before[0] / len(set(cells)):.3f}",
            "report the change itself (compare) for this condition")
    share = 1 - excess_after / excess_before
    low, high = np.quantile(share[1:], [0.025, 0.975])
    return Estimate(
        "share_removed", float(share[0]), float(share[1:].std(ddof=1)), float(low), float(high),
        len(before), before["series"].nunique(), f"bootstrap of series, {draws} draws", np.nan,
    )


def align(before: pd.DataFrame, after: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both frames in the order of series and t, proven to be the same items."""
    before, after = _ordered(before), _ordered(after)
    shared = [c for c in ("series", "t", "x", "outcome") if c in before and c in after]
    same = len(before) == len(after) and all(
        np.array_equal(before[c].to_numpy(), after[c].to_numpy()) for c in shared
    )
    require(same, "the same items (series, t, x, outcome) before and after",
            f"frames of {len(before)} and {len(after)} rows that differ",
            "score both models on one item frame, and drop an item from both or from neither")
    return before, after


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    require_columns(frame, ("series", "t"))
    # Names become numbers once: to sort and to look for duplicates among texts takes far longer.
    series, t = pd.factorize(frame["series"], sort=True)[0], frame["t"].to_numpy()
    order = np.lexsort((t, series))
    series, t = series[order], t[order]
    require(not ((np.diff(series) == 0) & (t[1:] == t[:-1])).any(),
            "one row for each series and t", "duplicates", "compare one condition at a time")
    return frame.take(order).reset_index(drop=True)


def _bootstrap_slopes(
    arms: list[np.ndarray], series: np.ndarray, draws: int, seed: int
) -> np.ndarray:
    """Slopes of forecast on x, shape ``(arms, 1 + draws)``; the first column is the estimate."""
    groups = pd.factorize(series)[0]
    count = groups.max() + 1
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=draws)
    # A slope needs five sums over series, so all draws of series are one product with counts.
    counts = np.vstack([np.ones(count), drawn])
    slopes = []
    for y, x in (arm - arm.mean(axis=1, keepdims=True) for arm in arms):
        n, sx, sy, sxx, sxy = (
            counts @ np.bincount(groups, v) for v in (np.ones_like(x), x, y, x * x, x * y)
        )
        slopes.append((sxy - sx * sy / n) / (sxx - sx**2 / n))
    return np.stack(slopes)
