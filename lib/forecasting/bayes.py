"""Rational answers to processes other than AR(1): exact when known, Bayesian when not.

A *path* maps a panel ``values`` (series, length) and a horizon h to a panel of
``E[x_{t+h} | x_0 .. x_t]``: entry t depends on ``values[:, : t + 1]`` alone.

A *family* is a list of `Candidate` processes, equally likely. The density of what was shown is a
product of normal densities of one-step errors, and the rational forecast the posterior mean::

    log p(x_1 .. x_n | x_0, k) = -1/2 sum_t [ log v_kt + (x_t - f_kt)^2 / v_kt ] + constant

As in `lib.forecasting.learners.bayes`, whose one family is the AR(1) on a grid, the density of the
first number shown is left out, and the rounding of the display is ignored.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from scipy.special import softmax

from lib.errors import require
from lib.forecasting.frames import both_rounds
from lib.forecasting.learners import TRAINING_GRID, Path
from lib.forecasting.processes import ar2_moments


def ar1_path(values: np.ndarray, horizon: int, rho: float, mu: float = 0.0) -> np.ndarray:
    """``mu + rho^h (x_t - mu)``."""
    return mu + rho**horizon * (values - mu)


def ar2_path(
    values: np.ndarray, horizon: int, phi1: float, phi2: float, mu: float = 0.0
) -> np.ndarray:
    """Iterate ``f_h = phi1 f_{h-1} + phi2 f_{h-2}`` from ``f_0 = x_t``, ``f_{-1} = x_{t-1}``."""
    now = values - mu
    # Given x_0, the value before it is expected at the first autocorrelation times x_0.
    before = np.concatenate([phi1 / (1 - phi2) * now[:, :1], now[:, :-1]], axis=1)
    for _ in range(horizon):
        now, before = phi1 * now + phi2 * before, now
    return mu + now


def drift_path(values: np.ndarray, horizon: int, drift: float) -> np.ndarray:
    """Random walk with drift: ``x_t + h drift``."""
    return values + horizon * drift


def ma1_path(values: np.ndarray, horizon: int, theta: float, mu: float = 0.0) -> np.ndarray:
    """Innovations algorithm: ``mu + theta u_t / v_t`` for h = 1, the mean beyond."""
    forecast = np.full(values.shape, float(mu))
    if horizon > 1:
        return forecast
    # Exact in finite samples, also for a theta that is not invertible; v in innovation variances.
    expected, v = np.zeros(len(values)), 1 + theta**2
    for t in range(values.shape[1]):
        expected = theta * (values[:, t] - mu - expected) / v
        forecast[:, t] += expected
        v = 1 + theta**2 - theta**2 / v
    return forecast


def local_level_path(
    values: np.ndarray, horizon: int, level_sd: float, noise_sd: float
) -> np.ndarray:
    """Kalman filter of the local level with a diffuse start; the same at every horizon."""
    level, variance = values[:, 0].astype(float), noise_sd**2
    forecast = np.empty(values.shape)
    forecast[:, 0] = level
    for t in range(1, values.shape[1]):
        predicted = variance + level_sd**2
        gain = predicted / (predicted + noise_sd**2)
        level = level + gain * (values[:, t] - level)
        variance = (1 - gain) * predicted
        forecast[:, t] = level
    return forecast


def break_path(
    values: np.ndarray, horizon: int, rho_before: float, rho_after: float, break_at: int,
    mu: float = 0.0, mu_after: float | None = None,
) -> np.ndarray:
    """AR(1) iterated through a break whose date is known (see `processes.regime_break`)."""
    position = np.arange(values.shape[1])
    forecast = values.astype(float)
    for step in range(1, horizon + 1):
        after = position + step >= break_at
        rho = np.where(after, rho_after, rho_before)
        centre = np.where(after, mu if mu_after is None else mu_after, mu)
        forecast = centre + rho * (forecast - centre)
    return forecast


@dataclass(frozen=True)
class Candidate:
    """One process that the numbers may come from."""

    path: Path
    variances: np.ndarray  # of x_1 .. x_n around their one-step forecasts


Family = Callable[[float, float, int], list[Candidate]]
"""Mean, standard deviation and number of values shown to candidates."""


def family_bayes(frame: pd.DataFrame, family: Family) -> pd.DataFrame:
    """Posterior-mean forecasts of someone who knows the family, its ``mu`` and its ``sigma``."""
    known = frame[["mu", "sigma"]].drop_duplicates()
    require(len(known) == 1 and not known.isna().any(axis=None),
            "one known mu and sigma", f"{len(known)} pairs of them", "split the frame by `mu`")
    mu, sigma = (float(v) for v in known.iloc[0])

    def mean(windows: np.ndarray, ahead: int) -> np.ndarray:
        return posterior_means(windows, family(mu, sigma, windows.shape[1]), [ahead])[0]

    return both_rounds(frame, mean)


def posterior_means(
    windows: np.ndarray, candidates: Sequence[Candidate], horizons: Sequence[int]
) -> list[np.ndarray]:
    """Mean over the candidates of their last forecasts, shape (rows,), for each horizon."""
    weights = family_posterior(windows, candidates)
    each = (np.stack([c.path(windows, h)[:, -1] for c in candidates], axis=1) for h in horizons)
    return [(weights * forecasts).sum(axis=1) for forecasts in each]


def family_posterior(windows: np.ndarray, candidates: Sequence[Candidate]) -> np.ndarray:
    """Posterior weight of each candidate given each row of numbers, shape (rows, candidates)."""
    return softmax(np.stack([log_density(windows, c) for c in candidates], axis=1), axis=1)


def log_density(windows: np.ndarray, candidate: Candidate) -> np.ndarray:
    """``log p(x_1 .. x_n | x_0)`` under a candidate, shape (rows,)."""
    errors = windows[:, 1:] - candidate.path(windows, 1)[:, :-1]
    v = candidate.variances
    return -0.5 * (np.log(2 * np.pi * v) + errors**2 / v).sum(axis=1)


def ar2_candidate(phi1: float, phi2: float, mu: float, sigma: float, n: int) -> Candidate:
    """Stationary AR(2): variance ``g_0 - g_1^2 / g_0`` given the first value, then sigma^2."""
    variance, covariance = ar2_moments(phi1, phi2, sigma)
    variances = np.full(n - 1, sigma**2)
    variances[:1] = variance - covariance**2 / variance
    return Candidate(partial(ar2_path, phi1=phi1, phi2=phi2, mu=mu), variances)


def ma1_candidate(theta: float, mu: float, sigma: float, n: int) -> Candidate:
    """MA(1): variances ``sigma^2 (1 + theta^2 - theta^2 / v_{t-1})`` of the innovations form."""
    v = [1 + theta**2]
    while len(v) < n:
        v.append(1 + theta**2 - theta**2 / v[-1])
    return Candidate(partial(ma1_path, theta=theta, mu=mu), sigma**2 * np.array(v[1:]))


def local_level_candidate(level_sd: float, noise_sd: float, n: int) -> Candidate:
    """Local level with a diffuse start: ``P_{t|t-1} + noise_sd^2`` of the Kalman filter."""
    variances, variance = [], noise_sd**2
    for _ in range(n - 1):
        predicted = variance + level_sd**2
        variances.append(predicted + noise_sd**2)
        variance = predicted * noise_sd**2 / variances[-1]
    path = partial(local_level_path, level_sd=level_sd, noise_sd=noise_sd)
    return Candidate(path, np.array(variances))


def ar1_family(mu: float, sigma: float, n: int) -> list[Candidate]:
    """AR(1) with rho in 0(.1)1, the persistences that the world holds."""
    v = np.full(n - 1, sigma**2)
    return [Candidate(partial(ar1_path, rho=k / 10, mu=mu), v) for k in range(11)]


def ar2_family(mu: float, sigma: float, n: int) -> list[Candidate]:
    """Stationary AR(2) with phi1 in -1.8(.2)1.8, phi2 in -.9(.1).9: the whole triangle."""
    grid = product(np.arange(-18, 19, 2) / 10, np.arange(-9, 10) / 10)
    inside = [(a, b) for a, b in grid if a + b < 0.999 and b - a < 0.999]
    return [ar2_candidate(a, b, mu, sigma, n) for a, b in inside]


def ma1_family(mu: float, sigma: float, n: int) -> list[Candidate]:
    """Invertible MA(1) with theta in -.9(.1).9."""
    return [ma1_candidate(theta, mu, sigma, n) for theta in np.arange(-9, 10) / 10]


def local_level_family(mu: float, sigma: float, n: int) -> list[Candidate]:
    """Level and noise each 1/8, 1/4, 1/2, 1 or 2 times sigma; the mean is not used."""
    sizes = sigma * np.array([0.125, 0.25, 0.5, 1.0, 2.0])
    return [local_level_candidate(a, b, n) for a, b in product(sizes, sizes)]


def drift_family(mu: float, sigma: float, n: int) -> list[Candidate]:
    """Random walks with drift -sigma to sigma in steps of sigma / 8; the mean is not used."""
    drifts = sigma * np.arange(-8, 9) / 8
    return [Candidate(partial(drift_path, drift=d), np.full(n - 1, sigma**2)) for d in drifts]


def persistence_break_family(mu: float, sigma: float, n: int) -> list[Candidate]:
    """AR(1) whose rho, before and after on the training grid, changes at any date shown."""
    each = product(TRAINING_GRID, TRAINING_GRID, range(n))
    return [_break(before, after, date, mu, mu, sigma, n) for before, after, date in each]


def mean_break_family(mu: float, sigma: float, n: int) -> list[Candidate]:
    """AR(1) whose mean leaves ``mu`` by -6, -5, .. 6 sigma at any date shown."""
    each = product(TRAINING_GRID[:-1], mu + sigma * np.arange(-6, 7), range(n))
    return [_break(rho, rho, date, mu, after, sigma, n) for rho, after, date in each]


def _break(
    before: float, after: float, date: int, mu: float, mu_after: float, sigma: float, n: int
) -> Candidate:
    path = partial(
        break_path, rho_before=before, rho_after=after, break_at=date, mu=mu, mu_after=mu_after
    )
    return Candidate(path, np.full(n - 1, sigma**2))
