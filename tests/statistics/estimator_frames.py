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


def textbook_cr2(y, design, groups):
    """OLS, CR2 errors and their degrees of freedom, from matrices of all rows, step by step."""
    n, names = len(y), sorted(set(groups))
    bread = np.linalg.inv(design.T @ design)
    maker = np.eye(n) - design @ bread @ design.T
    scores, parts = [], []
    for g in names:
        values, vectors = np.linalg.eigh(maker[np.ix_(groups == g, groups == g)])
        root = np.where(values > 1e-9, np.maximum(values, 1e-9) ** -0.5, 0)
        adjusted = (vectors * root) @ vectors.T @ design[groups == g] @ bread
        scores.append(adjusted.T @ (maker @ y)[groups == g])
        parts.append(maker[:, groups == g] @ adjusted)
    df = []
    for j in range(design.shape[1]):
        spread = np.stack([part[:, j] for part in parts], axis=1)
        gram = spread.T @ spread
        df.append(np.trace(gram) ** 2 / (gram**2).sum())
    return bread @ design.T @ y, np.sqrt((np.array(scores) ** 2).sum(axis=0)), np.array(df)
