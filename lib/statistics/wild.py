"""Wild cluster bootstrap: honest tests and intervals with few or unequal series.

Cameron, Gelbach and Miller (2008); MacKinnon, Nielsen and Webb (2023, "WCR"): the null is imposed
on the residuals, and one random sign drawn for each series. All statistics are functions of sums
within series, so all draws are a few matrix products.
"""

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd

from lib.errors import require
from lib.statistics.estimate import Estimate
from lib.statistics.regressions import Estimator, variables

Weights = Literal["rademacher", "webb"]
POINTS = {
    "rademacher": np.array([-1.0, 1.0]),
    "webb": np.sqrt([0.5, 1.0, 1.5, 0.5, 1.0, 1.5]) * [-1, -1, -1, 1, 1, 1],
}
"""Equally likely weights, mean 0 and variance 1; Webb's six for fewer than about 12 series."""

_DOUBLINGS, _BISECTIONS = 12, 40


@dataclass(frozen=True)
class ClusterSums:
    """Sums within clusters, x and y in deviations; shape ``(.., clusters)``, panels first."""

    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    n: int


def wild_cluster(
    frame: pd.DataFrame, estimator: Estimator, weights: Weights | None = None, draws: int = 1999,
    *, seed: int = 0,
) -> Estimate:
    """Slope of an estimator and the interval of the restricted wild cluster bootstrap.

    The interval holds every null whose bootstrap p-value is above 5 %, found by bisection on the
    same draws. It need not be symmetric, and an end is infinite where no null is rejected.

    Parameters
    ----------
    frame : DataFrame
        Rows with the estimator's columns and ``series``, the clusters.
    weights : {"rademacher", "webb"}, optional
        By default Webb's for fewer than 12 series, else signs.
    """
    sums = _sums(frame, estimator)
    weights = weights or ("webb" if sums.x.shape[-1] < 12 else "rademacher")
    signs = draw_weights(sums.x.shape[-1], draws, weights, seed)
    slope, se = (float(v) for v in slope_and_error(sums))
    low, high = _limits(sums, slope, se, signs)
    name, groups = getattr(estimator, "__name__", str(estimator)), sums.x.shape[-1]
    method = f"ols, wild cluster bootstrap ({weights}, {len(signs)} draws), cluster by series"
    return Estimate(name, slope, se, low, high, sums.n, groups, method, np.nan)


def cluster_sums(y: np.ndarray, x: np.ndarray, starts: np.ndarray) -> ClusterSums:
    """Sums of panels, arrays ``(.., rows)`` in order of clusters, each from its row of `starts`."""
    x, y = (v - v.mean(axis=-1, keepdims=True) for v in (x, y))
    parts = (np.add.reduceat(v, starts, axis=-1) for v in (x, y, x * x, x * y))
    return ClusterSums(*parts, x.shape[-1])


def slope_and_error(sums: ClusterSums) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares slope and the usual clustered error (Stata's factor), shape ``(..)``."""
    sxx = sums.xx.sum(axis=-1)
    slope = sums.xy.sum(axis=-1) / sxx
    scores = sums.xy - slope[..., None] * sums.xx
    g, n = sums.x.shape[-1], sums.n
    factor = g / (g - 1) * (n - 1) / (n - 2)
    return slope, np.sqrt(factor * (scores**2).sum(axis=-1)) / sxx


def pvalues(sums: ClusterSums, null: np.ndarray | float, weights: np.ndarray) -> np.ndarray:
    """Bootstrap p-values ``#(|t*| >= |t|) / draws`` of ``slope = null``, broadcast over panels."""
    observed = np.abs(_statistics(sums, null, np.ones((1, weights.shape[1]))))
    return (np.abs(_statistics(sums, null, weights)) >= observed * (1 - 1e-9)).mean(axis=-1)


def draw_weights(clusters: int, draws: int, weights: Weights, seed: int) -> np.ndarray:
    """Random weights, shape ``(draws, clusters)``; all combinations of signs where few exist."""
    require(weights in POINTS, "weights rademacher or webb", f"{weights!r}", "choose one")
    # Of the 32 combinations of five signs none has a p-value below 5 %.
    require(clusters >= (6 if weights == "rademacher" else 3),
            "at least 6 series for signs, 3 for Webb's weights", f"{clusters}",
            'use weights="webb", or evaluate more series')
    if weights == "rademacher" and 2**clusters <= draws:
        return np.array(list(product(POINTS[weights], repeat=clusters)))
    return np.random.default_rng(seed).choice(POINTS[weights], (draws, clusters))


def _statistics(sums: ClusterSums, null: np.ndarray | float, v: np.ndarray) -> np.ndarray:
    """t statistics of the null in data ``y* = null x + v_g u_g``, u residuals under the null."""
    # With sums a of x u and c of u, the slope less the null is d and the intercept m; the score of
    # cluster g is v a - m x - d xx, its square multiplied out. Constant factors are left out.
    null = np.asarray(null, dtype=float)[..., None]
    a, c = sums.xy - null * sums.xx, sums.y - null * sums.x
    sxx = sums.xx.sum(axis=-1)[..., None]
    d, m = a @ v.T / sxx, c @ v.T / sums.n
    cross = (sums.x * sums.xx).sum(axis=-1)[..., None]
    squares = (
        a**2 @ (v**2).T
        - 2 * m * ((a * sums.x) @ v.T)
        - 2 * d * ((a * sums.xx) @ v.T)
        + m**2 * (sums.x**2).sum(axis=-1)[..., None]
        + 2 * m * d * cross
        + d**2 * (sums.xx**2).sum(axis=-1)[..., None]
    )
    return d * sxx / np.sqrt(np.maximum(squares, np.finfo(float).tiny))


def _limits(sums: ClusterSums, slope: float, se: float, v: np.ndarray) -> tuple[float, float]:
    """Both ends at once: widen until rejected, then bisect."""
    outer = slope + 2 * se * np.array([-1.0, 1.0])
    for _ in range(_DOUBLINGS):
        accepted = pvalues(sums, outer, v) > 0.05
        outer = np.where(accepted, slope + 2 * (outer - slope), outer)
    endless, inner = accepted, np.full(2, slope)
    for _ in range(_BISECTIONS):
        middle = (inner + outer) / 2
        accepted = pvalues(sums, middle, v) > 0.05
        inner, outer = np.where(accepted, middle, inner), np.where(accepted, outer, middle)
    low, high = np.where(endless, [-np.inf, np.inf], inner)
    return float(low), float(high)


def _sums(frame: pd.DataFrame, estimator: Estimator) -> ClusterSums:
    y, x = variables(getattr(estimator, "__name__", str(estimator)), frame)
    groups = pd.factorize(frame["series"])[0]
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(groups.max() + 1))
    return cluster_sums(y[order], x[order], starts)
