"""Forecasters with known habits: item frame in, the same frame with forecasts out.

Run through the estimators that later measure a language model, they show what every coefficient
means. In all formulas ``E_t = mu + rho^h (x_t - mu)``; the previous forecast is the same rule, one
round earlier, for the same outcome.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from lib.forecasting.frames import both_rounds, horizon_of, shown
from lib.forecasting.processes import Seed

HUMANS = {0.0: 0.45, 0.2: 0.62, 0.4: 0.77, 0.6: 0.85, 0.8: 0.91, 1.0: 0.99}
"""Implied persistence of people by rho, h = 1 (Afrouzi et al. 2023, Figure II, panel B)."""


def misperceived(
    frame: pd.DataFrame, rho_s: float | Mapping[float, float] = HUMANS
) -> pd.DataFrame:
    """``mu + rho_s^h (x_t - mu)``: wrong persistence, or one for each rho (linear in between)."""
    mu, rho = _parameters(frame)
    r = rho_s
    if isinstance(rho_s, Mapping):
        known = sorted(rho_s)
        r = np.interp(rho, known, [rho_s[k] for k in known])
    return both_rounds(frame, lambda past, ahead: mu + r**ahead * (past[:, -1] - mu))


def adaptive(frame: pd.DataFrame, delta: float = 0.17) -> pd.DataFrame:
    """``F_t = delta F_{t-1} + (1 - delta) x_t``, from the first value shown; flat in h."""

    def rule(past: np.ndarray, ahead: int) -> np.ndarray:
        level = past[:, 0]
        for k in range(1, past.shape[1]):
            level = delta * level + (1 - delta) * past[:, k]
        return level

    return both_rounds(frame, rule)


def extrapolative(frame: pd.DataFrame, phi: float = 0.4) -> pd.DataFrame:
    """``F_t = (1 + phi) x_t - phi x_{t-1}``, iterated over the horizon."""

    def rule(past: np.ndarray, ahead: int) -> np.ndarray:
        before, now = past[:, -2], past[:, -1]
        for _ in range(ahead):
            before, now = now, (1 + phi) * now - phi * before
        return now

    return both_rounds(frame, rule)


def sticky(frame: pd.DataFrame, stickiness: float = 0.14) -> pd.DataFrame:
    """``F_t = l F_{t-1} + (1 - l) E_t``: under-reaction, with b = l / (1 - l) exactly."""
    mu, rho = _parameters(frame)
    h = horizon_of(frame)
    # One recursion serves both forecasts; before the oldest value shown it starts at the mean.
    past = shown(frame, "previous_history")
    terms = np.arange(past.shape[1])[::-1]  # rounds before t - 1
    weights = (1 - stickiness) * stickiness**terms * rho[:, None] ** (h + 1 + terms)
    before = mu + (weights * (past - mu[:, None])).sum(axis=1)
    rational = mu + rho**h * (frame["x"].to_numpy() - mu)
    return frame.assign(
        forecast=stickiness * before + (1 - stickiness) * rational, previous_forecast=before
    )


def diagnostic(frame: pd.DataFrame, theta: float = 0.34) -> pd.DataFrame:
    """``F_t = E_t + theta (E_t - E_{t-1})`` (Bordalo, Gennaioli and Shleifer)."""
    mu, rho = _parameters(frame)

    def rule(past: np.ndarray, ahead: int) -> np.ndarray:
        now = rho**ahead * (past[:, -1] - mu)
        before = rho ** (ahead + 1) * (past[:, -2] - mu)
        return mu + now + theta * (now - before)

    return both_rounds(frame, rule)


HABITS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "humans": misperceived,
    "adaptive": adaptive,
    "extrapolative": extrapolative,
    "diagnostic": diagnostic,
    "sticky": sticky,
}
"""Every habit at its default, the published one where there is one."""


def noise(frame: pd.DataFrame, sd: float = 8.0, *, seed: Seed = 0) -> pd.DataFrame:
    """``mu`` plus independent N(0, sd^2): no habit, implied persistence 0, and yet b = -1/2."""
    flat = frame.assign(forecast=frame["mu"], previous_forecast=frame["mu"])
    return add_noise(flat, sd, seed=seed)


def add_noise(frame: pd.DataFrame, sd: float, *, seed: Seed = 0) -> pd.DataFrame:
    """Independent N(0, sd^2) in both forecasts: implied persistence stays, b moves towards -1/2.

    The noise of ``forecast`` enters the error with a minus and the revision with a plus.
    """
    draws = np.random.default_rng(seed).normal(0.0, sd, (2, len(frame)))
    return frame.assign(
        forecast=frame["forecast"] + draws[0],
        previous_forecast=frame["previous_forecast"] + draws[1],
    )


def revision_coefficient(
    r1: float, r2: float, rho: float, noise_sd: float = 0.0, x_sd: float = 1.0
) -> float:
    """Population error-on-revision coefficient of ``F_t = r1 x_t``, ``F_{t-1} = r2 x_{t-1}``.

    ``b = [V (rho - r1)(r1 - r2 rho) - s^2] / [V (r1^2 + r2^2 - 2 r1 r2 rho) + 2 s^2]``, V the
    variance of x. At rho = 0 without noise, nothing in it measures the size of the bias.

    Parameters
    ----------
    r1, r2, rho : float
        Weights of the two forecasts, and the true persistence.
    noise_sd, x_sd : float
        s, the standard deviation of independent noise in both forecasts, and that of x.
    """
    v, s = x_sd**2, noise_sd**2
    revision = v * (r1**2 + r2**2 - 2 * r1 * r2 * rho) + 2 * s
    return (v * (rho - r1) * (r1 - r2 * rho) - s) / revision


def _parameters(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return frame["mu"].to_numpy(dtype=float), frame["rho"].to_numpy(dtype=float)
