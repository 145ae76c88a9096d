"""A simulated cross-section of stocks with short-horizon reversal, and its rational benchmark.

Monthly returns in per cent, a market component and a stock-specific one::

    r_it = beta_i m_t + s_it,            m_t ~ N(market_mean, market_sd^2), independent
    s_it = sum_k loading_k s_i,t-k + e_it,   e_it ~ N(0, sd_i^2)

A stock's own component reverses (loading_1 < 0), as Jegadeesh (1990,
doi:10.1111/j.1540-6261.1990.tb05110.x) showed; the size planted is our choice. No package ships a
panel of single stocks, hence a simulation.

Frames have the columns of `lib.forecasting.frames` (``mu`` is the stock's mean return), ``month``
(equal to t) and ``stock``, and those of `window_items`, so that `to_units` maps forecasts back.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from lib.errors import require
from lib.forecasting.frames import HIGH, LOW, panel_items
from lib.forecasting.processes import BURN_IN

LOCATION, SCALE = -80.0, 0.8
"""Per cent a month = -80 + 0.8 shown: fixed, since a map estimated from returns would see ahead."""


@dataclass(frozen=True)
class StockMarket:
    """Parameters of the simulation, per cent a month; the market is that of the US since 1926."""

    loadings: tuple[float, ...] = (-0.1,)  # on the last, second last, .. own component
    market_mean: float = 0.7
    market_sd: float = 5.0
    beta_sd: float = 0.3  # around 1
    specific_sd: float = 9.0  # median of sd_i
    specific_spread: float = 0.25  # standard deviation of log sd_i


@dataclass(frozen=True)
class StockPanel:
    """What an analyst sees, ``returns`` (stocks, months), and each stock's mean return."""

    returns: np.ndarray
    means: np.ndarray
    seed: int


def simulate_stocks(
    stocks: int, months: int, market: StockMarket = StockMarket(), *, seed: int
) -> StockPanel:
    """Panel of ``stocks`` over ``months``; the own components start in their stationary law."""
    polynomial = [1.0, *(-k for k in market.loadings)]
    require(stocks >= 2 and months >= 1 and (np.abs(np.roots(polynomial)) < 1).all(),
            "two stocks or more, some months, and stationary loadings",
            f"{stocks} stocks, {months} months, loadings {market.loadings}",
            "correct the arguments")
    rng = np.random.default_rng(seed)
    betas = rng.normal(1.0, market.beta_sd, stocks)
    sds = market.specific_sd * np.exp(rng.normal(0.0, market.specific_spread, stocks))
    shocks = sds[:, None] * rng.normal(size=(stocks, BURN_IN + months))
    specific = lfilter([1.0], polynomial, shocks, axis=1)[:, BURN_IN:]
    common = rng.normal(market.market_mean, market.market_sd, months)
    return StockPanel(betas[:, None] * common + specific, betas * market.market_mean, seed)


def stock_items(panel: StockPanel, history: int = 12, *, warmup: int = 60) -> pd.DataFrame:
    """Items of every stock and month from ``warmup`` on, shown as clipped integers."""
    exact = (panel.returns - LOCATION) / SCALE
    values = np.rint(exact).clip(LOW, HIGH).astype(int)
    ids = [f"stock-s{panel.seed}-{k:04d}" for k in range(len(exact))]
    frame = panel_items(values, history, ids)
    frame = frame[frame["t"] >= warmup].reset_index(drop=True)
    stock, t = pd.factorize(frame["series"])[0], frame["t"].to_numpy()
    outside = (exact < LOW - 0.5) | (exact > HIGH + 0.5)
    shown_outside = np.lib.stride_tricks.sliding_window_view(outside, history, axis=1).any(axis=2)
    return frame.assign(
        month=t,
        stock=stock,
        mu=(panel.means[stock] - LOCATION) / SCALE,
        outcome=exact[stock, t + 1],
        location=LOCATION,
        scale=SCALE,
        x_raw=panel.returns[stock, t],
        outcome_raw=panel.returns[stock, t + 1],
        clipped=shown_outside[stock, t - history + 1],
    )


def past_regression(frame: pd.DataFrame, returns: np.ndarray, lags: int = 1) -> pd.DataFrame:
    """Cross-sectional regressions on past months only, applied to the month of each item."""
    stock, t = frame["stock"].to_numpy(), frame["t"].to_numpy()
    now, before = (regression_path(returns, 1 + k, lags)[stock, t - k] for k in (0, 1))
    require(not np.isnan([now, before]).any(),
            f"a complete regression on {lags} lags before every item",
            f"items from month {int(frame['t'].min())} on",
            "raise `warmup` of the items, or use fewer lags")
    location, scale = frame["location"], frame["scale"]
    return frame.assign(
        forecast=(now - location) / scale, previous_forecast=(before - location) / scale
    )


def regression_path(returns: np.ndarray, horizon: int, lags: int = 1) -> np.ndarray:
    """Forecast of ``r_i,t+h`` at every t, per cent; NaN before the first complete cross-section.

    ``mean of rbar + sum_k b_k (r_i,t-k+1 - rbar_t-k+1)``, bars over stocks, b the mean of all
    complete months' slopes of returns h months later (Fama and MacBeth 1973).
    """
    require(len(returns) >= lags + 2,
            f"at least {lags + 2} stocks for a regression on {lags} lags and a constant",
            f"{len(returns)} stocks", "simulate more stocks, or use fewer lags")
    own = returns - returns.mean(axis=0)
    # (stocks, months - lags + 1, lags), first at month lags - 1
    states = np.lib.stride_tricks.sliding_window_view(own, lags, axis=1)[..., ::-1]
    design, target = states[:, :-horizon], own[:, lags - 1 + horizon :]
    moments = np.einsum("smi,smj->mij", design, design)
    cross = np.einsum("smi,sm->mi", design, target)
    monthly = np.linalg.solve(moments, cross[..., None])[..., 0]
    slopes = monthly.cumsum(axis=0) / np.arange(1, len(monthly) + 1)[:, None]
    level = returns.mean(axis=0).cumsum() / np.arange(1, returns.shape[1] + 1)
    forecast = np.full(returns.shape, np.nan)
    first = lags - 1 + horizon  # month in which the first cross-section is complete
    forecast[:, first:] = level[first:] + (states[:, horizon:] * slopes).sum(axis=-1)
    return forecast
