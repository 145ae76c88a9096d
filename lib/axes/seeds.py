"""Several training seeds of one arm as one measure."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from lib.axes.measure import Measure, measure_table, table_measures
from lib.errors import InvalidValueError
from lib.estimators import combine_seeds


def pool(measures: Sequence[Measure]) -> Measure:
    """One measure out of several seeds: for a freshly trained model, over items and seeds.

    Value, standard error and degrees of freedom are those of `combine_seeds` (Rubin 1987;
    Barnard and Rubin 1999). Its interval ``v -+ t sqrt(W + B)`` is symmetric, which no share near
    0 or 1 can bear: there the standard errors W shrink to nothing and the limits leave the unit
    interval. Each side therefore gets the reach of the seeds' own intervals in the place of
    ``t sqrt(W)``, "variance estimates recovered" from the limits (Zou and Donner 2008)::

        low  = v - sqrt(mean_s (k_s (v_s - low_s))^2 + t^2 (1 + 1/m) var_s(v_s))
        high = v + sqrt(mean_s (k_s (high_s - v_s))^2 + t^2 (1 + 1/m) var_s(v_s))

    with ``t = t_{.975}(df)`` and ``k_s = t / t_{.975}(df_s)``, cut to the range of the metric.
    Where the seeds' intervals are symmetric this *is* `combine_seeds`; where the seeds agree it is
    their own (Wilson) interval.

    Simulated coverage of the rate of a fresh model, three to ten seeds, 40 or 176 items on which
    all seeds find the same ones hard, true rates of .01 to .5: 93 to 99 % where rates vary between
    seeds no more than items make them vary, and 89 to 98 % where they vary up to twenty times as
    much, since three seeds do not show a tail; two seeds cover down to 84 %. Seeds that fail on
    different items are covered more often than that. Rubin's symmetric limits cover 34 to 88 % at
    a rate of .01, and the widest limits of any seed 70 % where seeds differ much.

    Raises
    ------
    InvalidValueError
        No measure, or measures of different metrics.
    """
    if len(measures) == 1:
        return measures[0]
    pooled, m = combine_seeds(measures), len(measures)
    df = [e.clusters - 1.0 if np.isnan(e.df) else e.df for e in measures]  # NaN: by resampling
    own = stats.t.ppf(0.975, df)
    t = stats.t.ppf(0.975, pooled.df)
    values, low, high = np.array([(e.value, e.low, e.high) for e in measures]).T
    seeds = t**2 * (1 + 1 / m) * values.var(ddof=1)
    below, above = (np.mean((t / own * reach) ** 2) for reach in (values - low, high - values))
    limits = pooled.value - np.sqrt(below + seeds), pooled.value + np.sqrt(above + seeds)
    pooled = replace(pooled, low=float(limits[0]), high=float(limits[1]))
    return Measure.of(pooled, measures[0].condition, measures[0].least, measures[0].most)


def pool_tables(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The metric tables of an arm's seeds as one, in the order of the first.

    Raises
    ------
    InvalidValueError
        A metric or condition that is not in every table.
    """
    stacked = pd.concat(tables, ignore_index=True)
    cells = [cell for _, cell in stacked.groupby(["metric", "condition"], sort=False)]
    if any(len(cell) != len(tables) for cell in cells):
        raise InvalidValueError(
            f"the same metrics and conditions for all {len(tables)} seeds",
            "some that a seed lacks or has twice",
            "measure every seed with one registry and one profile",
        )
    return measure_table(pool(table_measures(cell)) for cell in cells)
