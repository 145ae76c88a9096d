"""Estimates within series: the over-reaction they manufacture, and its removal.

Series fixed effects put future errors into the regressor: a rational forecaster's error on ``x_t``
has the slope of Nickell's (1981) bias. The study uses none; this shows why. Regressions without the
outcome on the left (`implied_persistence`) have no such bias.
"""

import numpy as np
import pandas as pd

from lib.errors import require
from lib.statistics.estimate import Estimate, t_interval
from lib.statistics.regressions import Estimator, NotDefinedError, require_columns, variables


def within_series(frame: pd.DataFrame, estimator: Estimator) -> Estimate:
    """Slope with series fixed effects, as most panel software would run it; biased, see above.

    Parameters
    ----------
    frame : DataFrame
        The estimator's columns and ``series``.
    estimator : function
        `implied_persistence`, `error_revision` or `error_on_level`.
    """
    name, y, x, groups = _panel(frame, estimator)
    slope, influence = _fixed_effects(y, x, groups, groups)
    return _from_influence(f"{name}_within", slope, influence, groups, "fixed effects")


def half_panel_jackknife(frame: pd.DataFrame, estimator: Estimator) -> Estimate:
    """Fixed-effects slope without its bias of order 1/T (Dhaene and Jochmans 2015).

    ``2 b - (T_1 b_1 + T_2 b_2) / T``, b_1 and b_2 from the halves of each series: the bias
    ``B / T`` doubles in a half, so it cancels. The error combines the influences of each series
    alike. The regressor's law must not change between halves (as that of a random walk from one
    point does).

    Parameters
    ----------
    frame, estimator : DataFrame, function
        As in `within_series`, with column ``t``.

    Raises
    ------
    InvalidValueError
        Series with fewer than four rounds.
    """
    require_columns(frame, ("series", "t"))
    name, y, x, groups = _panel(frame, estimator)
    rounds = np.bincount(groups)
    require(rounds.min() >= 4, "at least 4 rounds in every series", f"{rounds.min()}",
            "evaluate more rounds")
    rank = frame["t"].groupby(groups).rank(method="first").to_numpy() - 1
    late = rank >= (rounds[groups] + 1) // 2
    slope, influence = (2 * part for part in _fixed_effects(y, x, groups, groups))
    for half in (~late, late):
        share = half.mean()
        part, own = _fixed_effects(y[half], x[half], groups[half], groups)
        slope, influence = slope - share * part, influence - share * own
    kind = "fixed effects, half-panel jackknife"
    return _from_influence(f"{name}_within", slope, influence, groups, kind)


def _panel(
    frame: pd.DataFrame, estimator: Estimator
) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """Name, both sides of the regression, and series numbers."""
    name = getattr(estimator, "__name__", str(estimator))
    return name, *variables(name, frame), pd.factorize(frame["series"])[0]


def _fixed_effects(
    y: np.ndarray, x: np.ndarray, groups: np.ndarray, all_groups: np.ndarray
) -> tuple[float, np.ndarray]:
    """Within slope, and what each series adds to its error: ``sum_t x~ (y~ - b x~) / sum x~^2``."""
    count = all_groups.max() + 1
    rows = np.maximum(np.bincount(groups, minlength=count), 1)
    x, y = (v - (np.bincount(groups, v, count) / rows)[groups] for v in (x, y))
    sxx = x @ x
    require(sxx > 1e-12 * max(1.0, np.abs(x).max()), "a regressor that varies within series",
            "one that does not", "do not use fixed effects", NotDefinedError)
    slope = x @ y / sxx
    return slope, np.bincount(groups, x * (y - slope * x), count) / sxx


def _from_influence(
    name: str, slope: float, influence: np.ndarray, groups: np.ndarray, kind: str
) -> Estimate:
    clusters = len(influence)
    require(clusters > 1, "at least two series", "one", "evaluate more series")
    se = float(np.sqrt(clusters / (clusters - 1) * (influence @ influence)))
    method = f"{kind}, cluster by series, t({clusters - 1})"
    interval = t_interval(slope, se, clusters - 1)
    return Estimate(
        name, float(slope), se, *interval, len(groups), clusters, method, clusters - 1.0
    )
