"""Are the estimators right? Panels with planted coefficients, a thousand at a time.

The regressions are the same as in `lib.estimators.regressions`, written with plain numpy over an
array of panels (a test holds the two equal), so that a design takes a second and not minutes.
"""

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from lib.errors import InvalidValueError
from lib.forecasting.processes import Seed, ar1

Metric = Literal["implied_persistence", "error_revision"]


@dataclass(frozen=True)
class Design:
    """A panel of AR(1) series and a forecaster with a planted habit.

    ``F_t x_{t+1} = r x_t + noise`` and ``F_{t-1} x_{t+1} = r^2 x_{t-1} + noise``, where r is
    ``rho_s`` plus a habit of the series drawn from ``N(0, habit_sd^2)``: what makes errors within
    a series alike, and clustering necessary.

    Attributes
    ----------
    rho, rho_s : float
        True persistence, and the planted one.
    series, rounds, history : int
        Clusters, rows of each, and periods before the first row.
    sigma, noise_sd : float
        Standard deviation of innovations, and of independent noise in each forecast.
    habit_sd : float
        Standard deviation of r between series.
    """

    rho: float
    rho_s: float
    series: int = 40
    rounds: int = 8
    history: int = 12
    sigma: float = 8.0
    noise_sd: float = 2.0
    habit_sd: float = 0.1


@dataclass(frozen=True)
class Panels:
    """Arrays of shape ``(panels, series, rounds)``."""

    x: np.ndarray
    outcome: np.ndarray
    forecast: np.ndarray
    previous_forecast: np.ndarray


def simulate(design: Design, panels: int, *, seed: Seed) -> Panels:
    """Independent panels of one design."""
    rng, d = np.random.default_rng(seed), design
    length = d.history + d.rounds + 1
    values = ar1(d.rho, panels * d.series, length, d.sigma, seed=rng)
    values = values.reshape(panels, d.series, length)
    before, x, outcome = (values[..., d.history + k : length - 1 + k] for k in (-1, 0, 1))
    r = d.rho_s + rng.normal(0.0, d.habit_sd, (panels, d.series, 1))
    noise = rng.normal(0.0, d.noise_sd, (2, *x.shape))
    return Panels(x, outcome, r * x + noise[0], r**2 * before + noise[1])


def truth(design: Design, metric: Metric) -> float:
    """Population coefficient of a design.

    ``rho_s`` for implied persistence. For error on revision, with ``x_t = rho x_{t-1} + e`` and V
    the variance of ``x_{t-1}``, ``F_t - F_{t-1} = (r rho - r^2) x_{t-1} + r e`` gives::

        b = E[(rho - r)((r rho - r^2) rho V + r sigma^2) - s^2]
            / E[(r rho - r^2)^2 V + r^2 sigma^2 + 2 s^2]

    with expectations over the habits r (Gauss-Hermite quadrature).
    """
    if metric == "implied_persistence":
        return design.rho_s
    d = design
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    r = d.rho_s + d.habit_sd * nodes
    loading = r * d.rho - r**2
    variance, s2 = _variance_before(d), d.noise_sd**2
    covariance = (d.rho - r) * (loading * d.rho * variance + r * d.sigma**2) - s2
    revision = loading**2 * variance + r**2 * d.sigma**2 + 2 * s2
    return float((weights @ covariance) / (weights @ revision))


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
        The design, ``metric``, ``truth``, ``bias`` with its simulation error ``bias_se``, ``sd``
        of the estimates and ``mean_se`` (they should agree), ``coverage`` of the nominal 95 %
        interval and ``coverage_independent`` without clustering, ``size`` (how often the planted
        value is rejected at 5 %), and ``power``: how often rationality is (implied persistence =
        rho, b = 0), which is a size where the planted forecaster is rational.
    """
    if metric not in ("implied_persistence", "error_revision"):
        raise InvalidValueError(
            "metric implied_persistence or error_revision", f"{metric!r}", "choose one of them"
        )
    slope, se, se_independent = cluster_ols(*_sides(simulate(design, panels, seed=seed), metric))
    planted, rational = truth(design, metric), design.rho if metric[0] == "i" else 0.0
    critical = stats.t.ppf(0.975, design.series - 1)
    covered = np.abs(slope - planted) <= critical * se
    naive = np.abs(slope - planted) <= 1.96 * se_independent
    found = {
        "truth": planted,
        "bias": slope.mean() - planted,
        "bias_se": slope.std(ddof=1) / np.sqrt(panels),
        "sd": slope.std(ddof=1),
        "mean_se": se.mean(),
        "coverage": covered.mean(),
        "coverage_independent": naive.mean(),
        "size": (~covered).mean(),
        "power": (np.abs(slope - rational) > critical * se).mean(),
        "panels": panels,
    }
    return pd.Series(asdict(design) | {"metric": metric} | found)


def calibration_table(
    designs: list[Design],
    metrics: tuple[Metric, ...] = ("implied_persistence", "error_revision"),
    panels: int = 1000,
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """`calibrate` for every design and metric, one row each, with a seed of its own per design."""
    rows = [
        calibrate(design, metric, panels, seed=np.random.SeedSequence([seed, i]))
        for i, design in enumerate(designs)
        for metric in metrics
    ]
    return pd.DataFrame(rows).infer_objects()


def _sides(p: Panels, metric: Metric) -> tuple[np.ndarray, np.ndarray]:
    if metric == "implied_persistence":
        return p.forecast, p.x
    return p.outcome - p.forecast, p.forecast - p.previous_forecast


def _variance_before(d: Design) -> float:
    """Variance of ``x_{t-1}``, averaged over rounds for the random walk (which starts at 0)."""
    if d.rho == 1:
        return d.sigma**2 * float(np.mean(d.history - 1 + np.arange(d.rounds)))
    return d.sigma**2 / (1 - d.rho**2)
