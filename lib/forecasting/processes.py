"""Stochastic processes whose rational forecasts are known.

Every function returns an array of shape ``(series, length)``: independent realisations, one a row.
``sigma`` is the standard deviation of one period's innovation, in the units of ``mu``. ``seed`` is
an integer, a ``SeedSequence`` or a ``Generator`` (which is advanced).
"""

import numpy as np
from scipy.signal import lfilter, lfiltic

from lib.errors import require

Seed = int | np.random.SeedSequence | np.random.Generator

BURN_IN = 500
"""Periods thrown away where the stationary law has no closed form (ARCH)."""


def ar1(
    rho: float, series: int, length: int, sigma: float, mu: float = 0.0, *, seed: Seed
) -> np.ndarray:
    """``x_{t+1} = (1 - rho) mu + rho x_t + e_{t+1}``, ``e ~ N(0, sigma^2)``.

    For ``|rho| < 1`` the first value is drawn from the stationary law
    ``N(mu, sigma^2 / (1 - rho^2))``; a random walk (``rho = 1``) starts at ``mu``.

    Parameters
    ----------
    rho : float
        Persistence, in (-1, 1].
    series, length : int
        Shape of the panel.

    Raises
    ------
    InvalidValueError
        ``rho`` outside (-1, 1], a negative ``sigma`` or an empty panel.
    """
    _check_panel(series, length, sigma)
    require(-1 < rho <= 1, "a persistence rho in (-1, 1]", f"{rho}",
            "choose a stationary rho, or 1 exactly")
    shocks = np.random.default_rng(seed).normal(0.0, sigma, (series, length))
    shocks[:, 0] = 0.0 if rho == 1 else shocks[:, 0] / np.sqrt(1 - rho**2)
    return mu + lfilter([1.0], [1.0, -rho], shocks, axis=1)


def ar2(
    phi1: float, phi2: float, series: int, length: int, sigma: float, mu: float = 0.0, *, seed: Seed
) -> np.ndarray:
    """``x_{t+1} - mu = phi1 (x_t - mu) + phi2 (x_{t-1} - mu) + e_{t+1}``, started stationary."""
    _check_panel(series, length, sigma)
    require(abs(phi2) < 1 and phi1 + phi2 < 1 and phi2 - phi1 < 1,
            "AR(2) coefficients with |phi2| < 1, phi1 + phi2 < 1 and phi2 - phi1 < 1",
            f"phi1 = {phi1}, phi2 = {phi2}", "choose coefficients inside the stationary triangle")
    rng = np.random.default_rng(seed)
    variance, covariance = ar2_moments(phi1, phi2, sigma)
    first = rng.normal(0.0, np.sqrt(variance), series)
    rest = np.sqrt(variance - covariance**2 / variance)
    second = covariance / variance * first + rng.normal(0.0, 1.0, series) * rest
    shocks = rng.normal(0.0, sigma, (series, length))
    shocks[:, 0] = first
    if length > 1:
        shocks[:, 1] = second - phi1 * first
    return mu + lfilter([1.0], [1.0, -phi1, -phi2], shocks, axis=1)


def ar2_moments(phi1: float, phi2: float, sigma: float) -> tuple[float, float]:
    """Variance and first autocovariance of a stationary AR(2) (Yule-Walker)."""
    first = phi1 / (1 - phi2)
    variance = sigma**2 / (1 - phi1 * first - phi2 * (phi1 * first + phi2))
    return variance, first * variance


def ma1(
    theta: float, series: int, length: int, sigma: float, mu: float = 0.0, *, seed: Seed
) -> np.ndarray:
    """``x_t = mu + e_t + theta e_{t-1}``; stationary from the first value for every theta."""
    _check_panel(series, length, sigma)
    shocks = np.random.default_rng(seed).normal(0.0, sigma, (series, length + 1))
    return mu + shocks[:, 1:] + theta * shocks[:, :-1]


def local_level(
    level_sd: float, noise_sd: float, series: int, length: int, mu: float = 0.0, *, seed: Seed
) -> np.ndarray:
    """``x_t = m_t + n_t``, ``m_{t+1} = m_t + w_t``, ``m_0 = mu``: a random walk behind noise."""
    _check_panel(series, length, min(level_sd, noise_sd))
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, level_sd, (series, length))
    steps[:, 0] = 0.0
    return mu + steps.cumsum(axis=1) + rng.normal(0.0, noise_sd, (series, length))


def regime_break(
    rho_before: float, rho_after: float, break_at: int, series: int, length: int, sigma: float,
    mu: float = 0.0, mu_after: float | None = None, *, seed: Seed,
) -> np.ndarray:
    """AR(1) whose rho (and mean) change: ``break_at`` is the first value of the new law."""
    require(0 < break_at < length, f"a break inside the series, 1 to {length - 1}", f"{break_at}",
            "move `break_at`")
    rng = np.random.default_rng(seed)
    before = ar1(rho_before, series, break_at, sigma, mu, seed=rng)
    centre = mu if mu_after is None else mu_after
    shocks = rng.normal(0.0, sigma, (series, length - break_at))
    filter_ = [1.0, -rho_after]
    start = np.stack([lfiltic([1.0], filter_, [last]) for last in before[:, -1] - centre])
    after, _ = lfilter([1.0], filter_, shocks, axis=1, zi=start)
    return np.concatenate([before, centre + after], axis=1)


def arch1(
    omega: float, alpha: float, series: int, length: int, mu: float = 0.0, *, seed: Seed
) -> np.ndarray:
    """``x_t = mu + s_t z_t``, ``s_t^2 = omega + alpha (x_{t-1} - mu)^2``: no forecastable mean."""
    _check_panel(series, length, omega)
    require(omega > 0 and 0 <= alpha < 1, "omega > 0 and alpha in [0, 1)",
            f"omega = {omega}, alpha = {alpha}", "change them")
    shocks = np.random.default_rng(seed).normal(size=(series, BURN_IN + length))
    returns = np.zeros((series, BURN_IN + length))
    for t in range(1, BURN_IN + length):
        returns[:, t] = shocks[:, t] * np.sqrt(omega + alpha * returns[:, t - 1] ** 2)
    return mu + returns[:, BURN_IN:]


def _check_panel(series: int, length: int, sigma: float) -> None:
    require(series >= 1 and length >= 1 and sigma >= 0,
            "at least one series, at least one period and a standard deviation of 0 or more",
            f"series = {series}, length = {length}, sigma = {sigma}",
            "correct the arguments of the process")
