"""What several tests of the estimators share: panels of AR(1) series, markets, and a sandwich."""

import numpy as np
import pandas as pd

from lib.forecasting.frames import panel_items
from lib.forecasting.processes import ar1
from lib.statistics.calibration import Market, simulate_markets


def ar1_frame(rho, series, rounds, history=12, sigma=8.0, seed=0):
    """Exact (not rounded) AR(1) items around zero, without forecasts."""
    values = ar1(rho, series, history + rounds + 1, sigma, seed=seed)
    ids = [f"s{k:04d}" for k in range(series)]
    return panel_items(values, history, ids, rho=rho, mu=0.0, sigma=sigma)


def as_market_frame(forecast, shown):
    """Arrays of one simulated market, shapes (months, stocks) and (months, stocks, lags)."""
    months, stocks = forecast.shape
    history = shown[..., ::-1].reshape(months * stocks, -1)
    reversal = -0.1 * shown[..., 0] + np.random.default_rng(9).normal(0, 8, forecast.shape)
    return pd.DataFrame(
        {
            "month": np.repeat(pd.period_range("2010-01", periods=months, freq="M"), stocks),
            "stock": np.tile([f"k{i:03d}" for i in range(stocks)], months),
            "forecast": forecast.ravel(),
            "outcome": reversal.ravel(),
            "history": history.tolist(),
        }
    )


def market_frame(seed=0, **settings):
    """One market with planted weights on past returns; outcomes reverse by a tenth."""
    forecast, shown = simulate_markets(Market(**settings), 1, seed=seed)
    return as_market_frame(forecast[0], shown[0])


def sandwich(y, design, groups):
    """OLS and clustered errors in plain numpy, cluster by cluster, with Stata's small factor."""
    beta = np.linalg.solve(design.T @ design, design.T @ y)
    residual, bread = y - design @ beta, np.linalg.inv(design.T @ design)
    meat = np.zeros_like(bread)
    for g in sorted(set(groups)):
        score = design[groups == g].T @ residual[groups == g]
        meat += np.outer(score, score)
    (n, k), clusters = design.shape, len(set(groups))
    cov = clusters / (clusters - 1) * (n - 1) / (n - k) * bread @ meat @ bread
    return beta, np.sqrt(np.diag(cov))
