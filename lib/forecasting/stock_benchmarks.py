"""Rational benchmarks of the cross-section: regressions on past months, and the truth itself.

Item frame of `lib.forecasting.cross_section` in, the same frame with forecasts out. Both run in
per cent and map each forecast into the scale of its row.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from lib.errors import InvalidValueError
from lib.forecasting.cross_section import StockPanel
from lib.forecasting.frames import horizon_of

Method = Literal["pooled", "fama_macbeth"]


def known_components(frame: pd.DataFrame, panel: StockPanel) -> pd.DataFrame:
    """Full information: ``beta_i market_mean + E[s_i,t+h | s_i,t, s_i,t-1, ..]``.

    It sees the stock-specific component apart from the market's, which no history of one stock
    shows: a bound, not a target.
    """
    return _filled(frame, partial(known_path, panel))


def past_regression(
    frame: pd.DataFrame, returns: np.ndarray, lags: int = 1, method: Method = "fama_macbeth"
) -> pd.DataFrame:
    """Cross-sectional regressions on past months only, applied to the month of each item.

    See `regression_path`. ``returns`` is the whole panel, per cent; the forecasts of month t
    depend on its months up to t alone.

    Raises
    ------
    InvalidValueError
        Items earlier than the first regression.
    """
    filled = _filled(frame, partial(regression_path, returns, lags=lags, method=method))
    if filled[["forecast", "previous_forecast"]].isna().any(axis=None):
        raise InvalidValueError(
            f"a complete regression on {lags} lags before every item",
            f"items from month {int(frame['t'].min())} on",
            "raise `warmup` of the items, or use fewer lags",
        )
    return filled


def known_path(panel: StockPanel, horizon: int) -> np.ndarray:
    """Exact expectation of ``r_i,t+h`` at every t, per cent, shape (stocks, months).

    Components before the first month count as zero, their mean.
    """
    loadings = np.asarray(panel.market.loadings)
    padded = np.pad(panel.specific, ((0, 0), (len(loadings) - 1, 0)))
    state = _lagged(padded, len(loadings))
    for _ in range(horizon):
        ahead = state @ loadings
        state = np.concatenate([ahead[..., None], state[..., :-1]], axis=-1)
    return panel.betas[:, None] * panel.market.market_mean + ahead


def regression_path(
    returns: np.ndarray, horizon: int, lags: int = 1, method: Method = "fama_macbeth"
) -> np.ndarray:
    """Forecast of ``r_i,t+h`` at every t from the cross-sections complete by t.

    In each month s with s + h <= t the returns ``r_i,s+h`` are regressed over stocks on
    ``r_i,s .. r_i,s-p+1`` and a constant. Then, with bars for means over stocks::

        forecast = mean of rbar up to t + sum_k b_k (r_i,t-k+1 - rbar_t-k+1)

    ``fama_macbeth``: b is the plain mean of the monthly slopes (Fama and MacBeth 1973, who thus
    weigh all months alike). ``pooled``: one regression over all those months with a constant for
    each, which weighs a month by how much its returns differ.

    Returns
    -------
    ndarray, shape (stocks, months)
        Per cent; NaN before the first complete cross-section.

    Raises
    ------
    InvalidValueError
        No more stocks than coefficients.
    """
    if len(returns) < lags + 2:
        raise InvalidValueError(
            f"at least {lags + 2} stocks for a regression on {lags} lags and a constant",
            f"{len(returns)} stocks",
            "simulate more stocks, or use fewer lags",
        )
    own = returns - returns.mean(axis=0)
    states = _lagged(own, lags)  # (stocks, months - lags + 1, lags), first at month lags - 1
    design, target = states[:, :-horizon], own[:, lags - 1 + horizon :]
    moments = np.einsum("smi,smj->mij", design, design)
    cross = np.einsum("smi,sm->mi", design, target)
    count = np.arange(1, len(cross) + 1)[:, None]
    if method == "pooled":
        slopes = _solve(moments.cumsum(axis=0), cross.cumsum(axis=0))
    else:
        slopes = _solve(moments, cross).cumsum(axis=0) / count
    level = returns.mean(axis=0).cumsum() / np.arange(1, returns.shape[1] + 1)
    forecast = np.full(returns.shape, np.nan)
    first = lags - 1 + horizon  # month in which the first cross-section is complete
    forecast[:, first:] = level[first:] + (states[:, horizon:] * slopes).sum(axis=-1)
    return forecast


def _lagged(values: np.ndarray, lags: int) -> np.ndarray:
    """``(v_t, v_t-1, .., v_t-p+1)`` on a new last axis."""
    return np.lib.stride_tricks.sliding_window_view(values, lags, axis=1)[..., ::-1]


def _solve(moments: np.ndarray, cross: np.ndarray) -> np.ndarray:
    return np.linalg.solve(moments, cross[..., None])[..., 0]


def _filled(frame: pd.DataFrame, path: Callable[[int], np.ndarray]) -> pd.DataFrame:
    """Read both forecasts of every item off a path in per cent, in the units of the frame."""
    h, stock, t = horizon_of(frame), frame["stock"].to_numpy(), frame["t"].to_numpy()
    now, before = path(h)[stock, t], path(h + 1)[stock, t - 1]
    location, scale = frame["location"], frame["scale"]
    return frame.assign(
        forecast=(now - location) / scale, previous_forecast=(before - location) / scale
    )
