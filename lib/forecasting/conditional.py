"""Exact conditional expectations ``E[x_{t+h} | x_0 .. x_t]`` when the process is known.

Each function maps a panel ``values`` of shape ``(series, length)`` and a horizon h to a panel of
the same shape, whose entry at position t is the forecast of ``x_{t+h}`` made at t. Entry t
depends on ``values[:, : t + 1]`` alone. Bind the parameters with ``functools.partial`` to obtain
the path that `lib.forecasting.benchmarks.along` takes.
"""

from collections.abc import Callable

import numpy as np


def ar1_path(values: np.ndarray, horizon: int, rho: float, mu: float = 0.0) -> np.ndarray:
    """``mu + rho^h (x_t - mu)``."""
    return mu + rho**horizon * (values - mu)


def ar2_path(
    values: np.ndarray, horizon: int, phi1: float, phi2: float, mu: float = 0.0
) -> np.ndarray:
    """Iterate ``f_h = phi1 f_{h-1} + phi2 f_{h-2}`` from ``f_0 = x_t``, ``f_{-1} = x_{t-1}``.

    At t = 0 the value before is not known; its expectation given ``x_0`` is the first
    autocorrelation ``phi1 / (1 - phi2)`` times ``x_0``, in deviations from the mean.
    """
    now = values - mu
    before = np.concatenate([phi1 / (1 - phi2) * now[:, :1], now[:, :-1]], axis=1)
    for _ in range(horizon):
        now, before = phi1 * now + phi2 * before, now
    return mu + now


def ma1_path(values: np.ndarray, horizon: int, theta: float, mu: float = 0.0) -> np.ndarray:
    """Innovations algorithm: ``mu + theta u_t / v_t`` for h = 1, the mean beyond.

    ``u_t = x_t - mu - theta u_{t-1} / v_{t-1}`` and ``v_t = 1 + theta^2 - theta^2 / v_{t-1}``,
    in units of the innovation variance, from ``v_0 = 1 + theta^2``: exact in finite samples,
    also for a theta that is not invertible.
    """
    forecast = np.full(values.shape, float(mu))
    if horizon > 1:
        return forecast
    expected, v = np.zeros(len(values)), 1 + theta**2
    for t in range(values.shape[1]):
        expected = theta * (values[:, t] - mu - expected) / v
        forecast[:, t] += expected
        v = 1 + theta**2 - theta**2 / v
    return forecast


def local_level_path(
    values: np.ndarray, horizon: int, level_sd: float, noise_sd: float
) -> np.ndarray:
    """Kalman filter of the local level with a diffuse start; the same at every horizon.

    ``a_t = a_{t-1} + K_t (x_t - a_{t-1})``, ``K_t = P / (P + noise_sd^2)``, from ``a_0 = x_0``.
    """
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
    values: np.ndarray,
    horizon: int,
    rho_before: float,
    rho_after: float,
    break_at: int,
    mu: float = 0.0,
    mu_after: float | None = None,
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


def state_space_path(
    values: np.ndarray, horizon: int, build: Callable[[np.ndarray], object], params: np.ndarray
) -> np.ndarray:
    """Any time-invariant statsmodels state-space model at known parameters.

    ``build(series)`` returns the model, for instance
    ``lambda x: SARIMAX(x, order=(1, 0, 1), trend="c")``; ``params`` are in its order. The filter
    runs once a series; the forecast is ``d + Z T^{h-1} a_{t+1|t}`` plus state intercepts.
    """
    forecast = np.empty(values.shape)
    for i, series in enumerate(values):
        run = build(series.astype(float)).filter(params).filter_results
        state = run.predicted_state[:, 1:]
        for _ in range(horizon - 1):
            state = run.transition[:, :, 0] @ state + run.state_intercept[:, -1:]
        forecast[i] = (run.design[:, :, 0] @ state + run.obs_intercept[:, -1:])[0]
    return forecast
