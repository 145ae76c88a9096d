"""Are the estimators right? Panels with planted coefficients, a thousand at a time.

The regressions are the same as in `lib.estimators.regressions`, written with plain numpy over an
array of panels (a test holds the two equal), so that a design takes a second and not minutes.
`lib.estimators.calibration_lags` does the same for the estimators with twelve lags.
"""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from scipy import stats

from lib.errors import InvalidValueError
from lib.estimators.designs import METRICS, Design, Metric, Panels, sides, simulate, truth
from lib.estimators.wild import cluster_sums, draw_weights, pvalues
from lib.forecasting.processes import Seed

__all__ = [
    "METRICS", "Design", "Metric", "Panels", "calibrate", "calibration_table", "cluster_ols",
    "simulate", "summary", "truth",
]  # fmt: skip

WILD_DRAWS = 599
"""Draws of the wild cluster bootstrap, the same weights for all panels of a design."""


def cluster_ols(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slope, clustered error and independent-rows error of each panel.

    Parameters
    ----------
    y, x : ndarray, shape (panels, series, rounds)
        A series is a cluster. The intercept is estimated.

    Returns
    -------
    slope, se, se_independent : ndarray, shape (panels,)
        ``se^2 = G/(G-1) (n-1)/(n-2) sum_g (sum_t x u)^2 / (sum x^2)^2``, x in deviations.
    """
    axes, groups, n = (1, 2), y.shape[1], y.shape[1] * y.shape[2]
    x = x - x.mean(axis=axes, keepdims=True)
    y = y - y.mean(axis=axes, keepdims=True)
    sxx = (x**2).sum(axis=axes)
    slope = (x * y).sum(axis=axes) / sxx
    residual = y - slope[:, None, None] * x
    scores = (x * residual).sum(axis=2)
    factor = groups / (groups - 1) * (n - 1) / (n - 2)
    se = np.sqrt(factor * (scores**2).sum(axis=1)) / sxx
    return slope, se, np.sqrt((residual**2).sum(axis=axes) / (n - 2) / sxx)


def calibrate(
    design: Design, metric: Metric = "implied_persistence", panels: int = 1000, *, seed: Seed = 0
) -> pd.Series:
    """Bias, coverage, size and power of one estimator in one design.

    Returns
    -------
    Series
        The design, ``metric``, and what `summary` returns. ``size`` is how often the planted value
        is rejected at 5 %, ``power`` how often rationality is (implied persistence = rho, else a
        slope of 0), which is a size where the planted forecaster is rational.
        ``coverage_independent`` is the coverage without clustering and ``coverage_wild`` that of
        the wild cluster bootstrap's interval (NaN with fewer than six series).

    Raises
    ------
    InvalidValueError
        A metric other than those of `METRICS`.
    """
    return _row(design, metric, simulate(design, panels, seed=seed))


def summary(
    value: np.ndarray, se: np.ndarray, planted: float, rational: float, df: float
) -> dict[str, float]:
    """What a thousand estimates, shape ``(panels,)``, say about one estimator.

    Returns
    -------
    dict
        ``truth``, ``bias`` with its simulation error ``bias_se``, ``sd`` of the estimates and
        ``mean_se`` (they should agree), ``coverage`` of the nominal 95 % interval, ``size``,
        ``power`` against ``rational``, ``panels``.
    """
    critical, panels = stats.t.ppf(0.975, df), len(value)
    covered = np.abs(value - planted) <= critical * se
    return {
        "truth": planted,
        "bias": value.mean() - planted,
        "bias_se": value.std(ddof=1) / np.sqrt(panels),
        "sd": value.std(ddof=1),
        "mean_se": se.mean(),
        "coverage": covered.mean(),
        "size": (~covered).mean(),
        "power": (np.abs(value - rational) > critical * se).mean(),
        "panels": panels,
    }


def calibration_table(
    designs: Sequence[Design],
    metrics: Sequence[Metric] = ("implied_persistence", "error_revision"),
    panels: int = 1000,
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """`calibrate` for every design and metric, one row each, with a seed of its own per design."""
    rows = []
    for i, design in enumerate(designs):
        simulated = simulate(design, panels, seed=np.random.SeedSequence([seed, i]))
        rows += [_row(design, metric, simulated) for metric in metrics]
    return pd.DataFrame(rows).infer_objects()


def _row(design: Design, metric: Metric, panels: Panels) -> pd.Series:
    if metric not in METRICS:
        raise InvalidValueError(f"a metric among {', '.join(METRICS)}", f"{metric!r}", "choose one")
    y, x = sides(panels, metric)
    slope, se, se_independent = cluster_ols(y, x)
    planted, rational = truth(design, metric), design.rho if metric[0] == "i" else 0.0
    found = summary(slope, se, planted, rational, design.series - 1) | {
        "coverage_independent": (np.abs(slope - planted) <= 1.96 * se_independent).mean(),
        "coverage_wild": _wild_coverage(y, x, planted),
    }
    return pd.Series(asdict(design) | {"metric": metric} | found)


def _wild_coverage(y: np.ndarray, x: np.ndarray, planted: float) -> float:
    """Share of panels whose wild bootstrap does not reject the planted value."""
    if y.shape[1] < 6:
        return np.nan
    weights = draw_weights(y.shape[1], WILD_DRAWS, "rademacher", 0)
    return float((pvalues(cluster_sums(y, x), planted, weights) > 0.05).mean())
