"""A simulated cross-section of stocks with short-horizon reversal.

Monthly returns in per cent, a market component and a stock-specific one::

    r_it = beta_i m_t + s_it,            m_t ~ N(market_mean, market_sd^2), independent
    s_it = sum_k loading_k s_i,t-k + e_it,   e_it ~ N(0, sd_i^2)

The market is unforecastable; a stock's own component reverses (loading_1 < 0). That monthly
returns of single stocks do, Jegadeesh (1990, doi:10.1111/j.1540-6261.1990.tb05110.x) showed; the
size planted here is our choice. No package ships a panel of single stocks, hence a simulation.

Frames have the columns of `lib.forecasting.frames` (``mu`` is the stock's mean return, ``rho``
and ``sigma`` are missing) and ``month`` (equal to t), ``stock``, ``location, scale, x_raw,
outcome_raw, clipped`` as in `lib.forecasting.windows`, so that `to_units` maps forecasts back.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from lib.errors import InvalidValueError
from lib.forecasting.frames import panel_items
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
