"""Simulated panels with planted habits, and what each coefficient must be in them."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from lib.forecasting.processes import Seed, ar1

Metric = Literal[
    "implied_persistence", "error_revision", "error_on_level", "error_on_innovation"
]
METRICS: tuple[Metric, ...] = get_args(Metric)


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
    innovation: np.ndarray


def simulate(design: Design, panels: int, *, seed: Seed) -> Panels:
    """Independent panels of one design."""
    rng, d = np.random.default_rng(seed), design
    length = d.history + d.rounds + 1
    values = ar1(d.rho, panels * d.series, length, d.sigma, seed=rng)
    values = values.reshape(panels, d.series, length)
    before, x, outcome = (values[..., d.history + k : length - 1 + k] for k in (-1, 0, 1))
    r = d.rho_s + rng.normal(0.0, d.habit_sd, (panels, d.series, 1))
    noise = rng.normal(0.0, d.noise_sd, (2, *x.shape))
    forecasts = r * x + noise[0], r**2 * before + noise[1]
    return Panels(x, outcome, *forecasts, x - d.rho * before)


def truth(design: Design, metric: Metric) -> float:
    """Population coefficient of a design.

    ``rho_s`` for implied persistence, ``rho - rho_s`` for the error on the level and on the
    innovation (the newest value has all the weight). For error on revision, with
    ``x_t = rho x_{t-1} + e`` and V the variance of ``x_{t-1}``, the revision is
    ``(r rho - r^2) x_{t-1} + r e`` and::

        b = E[(rho - r)((r rho - r^2) rho V + r sigma^2) - s^2]
            / E[(r rho - r^2)^2 V + r^2 sigma^2 + 2 s^2]

    with expectations over the habits r (Gauss-Hermite quadrature). Slopes with the outcome on the
    left keep a small-sample bias near ``-(1 + 3 rho) / n``, n all rows (`corrections.ar1_bias`).
    """
    if metric == "implied_persistence":
        return design.rho_s
    if metric in ("error_on_level", "error_on_innovation"):
        return design.rho - design.rho_s
    d = design
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    r = d.rho_s + d.habit_sd * nodes
    loading = r * d.rho - r**2
    variance, s2 = _variance_before(d), d.noise_sd**2
    covariance = (d.rho - r) * (loading * d.rho * variance + r * d.sigma**2) - s2
    revision = loading**2 * variance + r**2 * d.sigma**2 + 2 * s2
    return float((weights @ covariance) / (weights @ revision))


def sides(p: Panels, metric: Metric) -> tuple[np.ndarray, np.ndarray]:
    """Left-hand side and regressor, as `lib.estimators.regressions.SPECIFICATIONS` has them."""
    if metric == "implied_persistence":
        return p.forecast, p.x
    regressor = {
        "error_revision": p.forecast - p.previous_forecast,
        "error_on_level": p.x,
        "error_on_innovation": p.innovation,
    }
    return p.outcome - p.forecast, regressor[metric]


def _variance_before(d: Design) -> float:
    """Variance of ``x_{t-1}``, averaged over rounds for the random walk (which starts at 0)."""
    if d.rho == 1:
        return d.sigma**2 * float(np.mean(d.history - 1 + np.arange(d.rounds)))
    return d.sigma**2 / (1 - d.rho**2)
