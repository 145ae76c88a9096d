"""What a benchmark's items leave uncertain: intervals of scores, and of changes of the same items.

What two models share, the items, cancels in a paired comparison: on the 255 development items of
StereoSet a single SS has a standard error of 3 points, a change of a few items a much smaller one.
Every score is a function of sums over items (*parts*), so a draw of clusters is a product of counts
and sums, and intervals cost no second pass over the items.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from lib.errors import require
from lib.statistics.estimate import Estimate

Sums = Mapping[str, np.ndarray]
Metrics = Callable[[Sums], dict[str, np.ndarray]]
"""From sums of parts, one number or a row of draws each, to scores."""

ITEMS = " items"


def shares(hits: pd.Series, groups: Mapping[str, pd.Series], cluster: pd.Series) -> pd.DataFrame:
    """Parts of shares of hits: by name of a group, its hits and its items."""
    columns = {}
    for name, members in groups.items():
        columns |= {name: hits * members, f"{name}{ITEMS}": members}
    return pd.DataFrame(columns).astype(float).set_axis(cluster)


def percent(sums: Sums) -> dict[str, np.ndarray]:
    """Hits of `shares` in percent of their items."""
    return {name: 100 * hits / sums[f"{name}{ITEMS}"]
            for name, hits in sums.items() if not name.endswith(ITEMS)}


def exact(parts: pd.DataFrame, metrics: Metrics) -> dict[str, float]:
    """The scores of all items."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = metrics({name: parts[name].to_numpy().sum() for name in parts})
    return {name: float(value) for name, value in found.items()}


def bootstrap(
    parts: Sequence[pd.DataFrame], metrics: Metrics, items: int, draws: int = 2000, *, seed: int
) -> list[Estimate]:
    """Scores of one model, or the second's less the first's; the same whole clusters are drawn."""
    tables = [part.groupby(level=0, sort=False).sum() for part in parts]
    size = len(tables[0])
    require(size > 1, "at least two clusters to draw from", str(size), "score more items")
    require(all(table.index.equals(tables[0].index) for table in tables),
            "the same items for both models", "others", "score both on one table of items")
    # Few clusters, such as the ten target words of StereoSet's development split, cover too little.
    counts = np.random.default_rng(seed).multinomial(size, [1 / size] * size, draws)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = [metrics(dict(zip(t, (counts @ t.to_numpy()).T, strict=True))) for t in tables]
    values, drawn = _change([exact(part, metrics) for part in parts]), _change(drawn)
    method, estimates = f"bootstrap of {size} clusters, {draws} draws", []
    for name, value in values.items():
        se, (low, high) = drawn[name].std(ddof=1), np.quantile(drawn[name], [0.025, 0.975])
        numbers = map(float, (value, se, low, high))
        estimates.append(Estimate(name, *numbers, items, size, method, np.nan))
    return estimates


def _change(found: Sequence[dict]) -> dict:
    """One model's scores as they are; of two models', the second's less the first's."""
    if len(found) == 1:
        return found[0]
    return {name: score - found[0][name] for name, score in found[1].items()}
