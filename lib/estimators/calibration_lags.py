"""Calibration of the estimators with many lags: cross-sections of stocks with planted weights.

`lag_coefficients`, `decay_weights` and `fama_macbeth` on a thousand simulated markets at once; a
test holds the arrays equal to the estimators on frames.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from lib.estimators.calibration import summary
from lib.estimators.lags import decay_curve, profile_decay
from lib.forecasting.processes import Seed

CHUNK = 100
"""Markets held in memory at a time."""


@dataclass(frozen=True)
class Market:
    """Months of stocks whose forecasts load on past returns.

    ``F_{i,t} = a_t + g_t sum_j w_j r_{i,t-j} + noise``, ``w_j = decay^j / sum_k decay^k``, where
    a_t and g_t are drawn anew each month: what makes the stocks of a month alike. Returns are
    ``r_{i,t} = f_t + e_{i,t}`` with a common f.

    Attributes
    ----------
    level, decay : float
        Planted mean of g_t, and lambda.
    months, stocks, lags : int
        Clusters, rows of each, and returns that are shown.
    return_sd, common_sd : float
        Standard deviations of e and f, in percent a month.
    level_sd, month_sd, noise_sd : float
        Standard deviations of g_t, a_t and the noise of each forecast.
    """

    level: float = 0.5
    decay: float = 0.6
    months: int = 60
    stocks: int = 20
    lags: int = 12
    return_sd: float = 8.0
    common_sd: float = 4.0
    level_sd: float = 0.2
    month_sd: float = 1.0
    noise_sd: float = 2.0


@dataclass(frozen=True)
class Slopes:
    """Values and errors of shape ``(markets, coefficients)``."""

    value: np.ndarray
    se: np.ndarray


def simulate_markets(market: Market, panels: int, *, seed: Seed) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts ``(panels, months, stocks)`` and returns shown ``(.., lags)``, newest first."""
    m, rng = market, np.random.default_rng(seed)
    length = m.months + m.lags - 1
    returns = rng.normal(0.0, m.return_sd, (panels, m.stocks, length))
    returns += rng.normal(0.0, m.common_sd, (panels, 1, length))
    windows = np.lib.stride_tricks.sliding_window_view(returns, m.lags, axis=2)[..., ::-1]
    shown = np.ascontiguousarray(windows.swapaxes(1, 2))
    level = m.level + rng.normal(0.0, m.level_sd, (panels, m.months, 1))
    month = rng.normal(0.0, m.month_sd, (panels, m.months, 1))
    noise = rng.normal(0.0, m.noise_sd, shown.shape[:3])
    return month + level * (shown @ decay_curve(m.decay, m.lags)[0]) + noise, shown


def pooled(y: np.ndarray, x: np.ndarray) -> Slopes:
    """`lag_coefficients` clustered by month, for every market."""
    y, x = y - y.mean(axis=(1, 2), keepdims=True), x - x.mean(axis=(1, 2), keepdims=True)
    value, bread = _solve(y, x)
    residual = y - (x @ value[:, None, :, None])[..., 0]
    return Slopes(value, _clustered(x, residual, bread))


def decays(y: np.ndarray, x: np.ndarray) -> Slopes:
    """`decay_weights` clustered by month, for every market: columns level and rate."""
    y, x = y - y.mean(axis=(1, 2), keepdims=True), x - x.mean(axis=(1, 2), keepdims=True)
    moments = np.einsum("pmsi,pmsj->pij", x, x, optimize=True)
    rate = profile_decay(moments, np.einsum("pmsi,pms->pi", x, y, optimize=True))
    weights, slopes = decay_curve(rate, x.shape[-1])
    index = (x @ weights[:, None, :, None])[..., 0]
    level = (index * y).sum(axis=(1, 2)) / (index**2).sum(axis=(1, 2))
    turn = level[:, None, None] * (x @ slopes[:, None, :, None])[..., 0]
    jacobian = np.stack([index, turn], axis=-1)
    value, bread = _solve(y + rate[:, None, None] * turn, jacobian)
    residual = y + rate[:, None, None] * turn - (jacobian @ value[:, None, :, None])[..., 0]
    return Slopes(value, _clustered(jacobian, residual, bread))


def monthly(y: np.ndarray, x: np.ndarray) -> Slopes:
    """`fama_macbeth` with its default lags, for every market."""
    y, x = y - y.mean(axis=2, keepdims=True), x - x.mean(axis=2, keepdims=True)
    cross = (x.swapaxes(2, 3) @ y[..., None])
    slopes = np.linalg.solve(x.swapaxes(2, 3) @ x, cross)[..., 0]
    months = slopes.shape[1]
    value = slopes.mean(axis=1)
    u = slopes - value[:, None]
    variance, lags = (u**2).sum(axis=1), int(4 * (months / 100) ** (2 / 9))
    for k in range(1, lags + 1):
        variance += 2 * (1 - k / (lags + 1)) * (u[:, k:] * u[:, :-k]).sum(axis=1)
    return Slopes(value, np.sqrt(variance) / months)


def calibrate_lags(market: Market, panels: int = 1000, *, seed: int = 0) -> pd.DataFrame:
    """Bias, coverage, size and power of the estimators with lags in one market.

    Returns
    -------
    DataFrame
        One row each for ``lag_coefficients`` and ``fama_macbeth`` (their ``lag_1``),
        ``decay_level`` and ``decay_rate``: the market, ``metric``, and the columns of `summary`.
        Power is that against 0: forecasts that ignore the past, or only its last value count.
    """
    parts = list(_estimates(market, panels, seed))
    first = market.level * decay_curve(market.decay, market.lags)[0][0]
    planted = {
        "lag_coefficients": first, "fama_macbeth": first,
        "decay_level": market.level, "decay_rate": market.decay,
    }  # fmt: skip
    rows = []
    for metric, truth in planted.items():
        value, se = (np.concatenate([p[metric][k] for p in parts]) for k in (0, 1))
        found = summary(value, se, truth, 0.0, market.months - 1)
        rows.append(asdict(market) | {"metric": metric} | found)
    return pd.DataFrame(rows)


def lag_calibration_table(
    markets: Sequence[Market], panels: int = 1000, *, seed: int = 0
) -> pd.DataFrame:
    """`calibrate_lags` of every market, with a seed of its own each."""
    tables = [calibrate_lags(m, panels, seed=seed + 1000 * i) for i, m in enumerate(markets)]
    return pd.concat(tables, ignore_index=True)


def _estimates(
    market: Market, panels: int, seed: int
) -> Iterator[dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Values and errors of each metric, a chunk of markets at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, panels, CHUNK):
        y, x = simulate_markets(market, min(CHUNK, panels - start), seed=rng)
        lag, month, decay = pooled(y, x), monthly(y, x), decays(y, x)
        yield {
            "lag_coefficients": (lag.value[:, 0], lag.se[:, 0]),
            "fama_macbeth": (month.value[:, 0], month.se[:, 0]),
            "decay_level": (decay.value[:, 0], decay.se[:, 0]),
            "decay_rate": (decay.value[:, 1], decay.se[:, 1]),
        }


def _solve(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes ``(panels, k)`` and ``(X'X)^-1`` of pooled regressions in deviations."""
    bread = np.linalg.inv(np.einsum("pmsi,pmsj->pij", x, x, optimize=True))
    cross = np.einsum("pmsi,pms->pi", x, y, optimize=True)
    return (bread @ cross[..., None])[..., 0], bread


def _clustered(x: np.ndarray, residual: np.ndarray, bread: np.ndarray) -> np.ndarray:
    """Sandwich errors with months as clusters; the constant counts as one more column."""
    scores = (x * residual[..., None]).sum(axis=2)
    groups, n, k = scores.shape[1], x.shape[1] * x.shape[2], x.shape[-1] + 1
    factor = groups / (groups - 1) * (n - 1) / (n - k)
    cov = factor * bread @ (scores.swapaxes(1, 2) @ scores) @ bread
    return np.sqrt(np.einsum("pii->pi", cov))
