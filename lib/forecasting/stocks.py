"""A simulated cross-section of stocks with short-horizon reversal.

Monthly returns in per cent, a market component and a stock-specific one::

    r_it = beta_i m_t + s_it,            m_t ~ N(market_mean, market_sd^2), independent
    s_it = sum_k loading_k s_i,t-k + e_it,   e_it ~ N(0, sd_i^2)

The market is unforecastable; a stock's own component reverses (loading_1 < 0). That monthly
returns of single stocks do, Jegadeesh (1990, doi:10.1111/j.1540-6261.1990.tb05110.x) showed; the
size planted here is our choice. No package ships a panel of single stocks, hence a simulation.

Frames have the columns of `lib.forecasting.frames` (``mu`` is the stock's mean return, ``rho``
and ``sigma`` are missing) and ``month`` (equal to t), ``stock``, ``location, scale, x_raw,
outcome_raw, clipped`` as in `lib.forecasting.frames`, so that `to_units` maps forecasts back.

Rational benchmarks of the cross-section: regressions on past months, and the truth itself.

Item frame of `lib.forecasting.stocks` in, the same frame with forecasts out. Both run in
per cent and map each forecast into the scale of its row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from lib.errors import InvalidValueError
from lib.forecasting.frames import horizon_of, panel_items
from lib.forecasting.processes import BURN_IN

LOW, HIGH = 0, 199
LOCATION, SCALE = -80.0, 0.8
"""Display scale: per cent a month = -80 + 0.8 shown, so that 0 % is shown as 100.

Fixed in advance: a map estimated from the returns would let the future into the past.
"""


@dataclass(frozen=True)
class StockMarket:
    """Parameters of the simulation, per cent a month.

    Attributes
    ----------
    loadings : tuple of float
        On the last, second last, .. own component; the first is the planted reversal.
    market_mean, market_sd : float
        About those of the US market since 1926 (series ``market`` of `lib.forecasting.real`).
    beta_sd : float
        Standard deviation of beta over stocks; its mean is 1.
    specific_sd, specific_spread : float
        Median over stocks of sd_i, and standard deviation of its logarithm.
    """

    loadings: tuple[float, ...] = (-0.1,)
    market_mean: float = 0.7
    market_sd: float = 5.0
    beta_sd: float = 0.3
    specific_sd: float = 9.0
    specific_spread: float = 0.25


@dataclass(frozen=True)
class StockPanel:
    """A simulated panel: ``returns`` is what an analyst sees, the rest is the truth behind it.

    Attributes
    ----------
    market : StockMarket
    returns, specific : ndarray, shape (stocks, months)
    betas : ndarray, shape (stocks,)
    seed : int
        Part of the stocks' identifiers.
    """

    market: StockMarket
    returns: np.ndarray
    specific: np.ndarray
    betas: np.ndarray
    seed: int


def simulate_stocks(
    stocks: int, months: int, market: StockMarket | None = None, *, seed: int
) -> StockPanel:
    """Panel of ``stocks`` over ``months``; the own components start in their stationary law.

    Raises
    ------
    InvalidValueError
        An empty panel, or loadings that are not stationary.
    """
    market = market or StockMarket()
    polynomial = [1.0, *(-k for k in market.loadings)]
    if stocks < 2 or months < 1 or (np.abs(np.roots(polynomial)) >= 1).any():
        raise InvalidValueError(
            "two stocks or more, some months, and stationary loadings",
            f"{stocks} stocks, {months} months, loadings {market.loadings}",
            "correct the arguments",
        )
    rng = np.random.default_rng(seed)
    betas = rng.normal(1.0, market.beta_sd, stocks)
    sds = market.specific_sd * np.exp(rng.normal(0.0, market.specific_spread, stocks))
    shocks = sds[:, None] * rng.normal(size=(stocks, BURN_IN + months))
    specific = lfilter([1.0], polynomial, shocks, axis=1)[:, BURN_IN:]
    common = rng.normal(market.market_mean, market.market_sd, months)
    return StockPanel(market, betas[:, None] * common + specific, specific, betas, seed)


def stock_items(
    panel: StockPanel,
    history: int = 12,
    *,
    horizon: int = 1,
    warmup: int = 60,
    display: bool = False,
) -> pd.DataFrame:
    """Items of every stock and month from ``warmup`` on; the last ``history`` returns are shown.

    Parameters
    ----------
    warmup : int
        First month forecast from, so that regressions on earlier months have some to run on.
    display : bool
        Show integers of 0..199 (see `SCALE`), clipped where ``clipped`` says so; ``outcome`` and
        ``mu`` are on that scale, unrounded. If not, everything is in per cent and scale is 1.
    """
    location, scale = (LOCATION, SCALE) if display else (0.0, 1.0)
    exact = (panel.returns - location) / scale
    values = np.rint(exact).clip(LOW, HIGH).astype(int) if display else exact
    ids = [f"stock-s{panel.seed}-{k:04d}" for k in range(len(exact))]
    frame = panel_items(values, history, ids, horizon)
    frame = frame[frame["t"] >= warmup].reset_index(drop=True)
    stock, t = pd.factorize(frame["series"])[0], frame["t"].to_numpy()
    outside = (exact < LOW - 0.5) | (exact > HIGH + 0.5)
    shown_outside = np.lib.stride_tricks.sliding_window_view(outside, history, axis=1).any(axis=2)
    return frame.assign(
        month=t,
        stock=stock,
        mu=(panel.betas[stock] * panel.market.market_mean - location) / scale,
        outcome=exact[stock, t + horizon],
        location=location,
        scale=scale,
        x_raw=panel.returns[stock, t],
        outcome_raw=panel.returns[stock, t + horizon],
        clipped=shown_outside[stock, t - history + 1] & display,
    )

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
