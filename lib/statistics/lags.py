"""Which of the last numbers shown move the forecast: pooled, and month by month."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
import statsmodels.api as sm

from lib.errors import require
from lib.forecasting.frames import shown
from lib.statistics.clusters import clustered_fit
from lib.statistics.estimate import Estimate
from lib.statistics.regressions import from_fit, from_hac, numbers, require_columns


def lag_coefficients(
    frame: pd.DataFrame, lags: int = 12, cluster: str = "series"
) -> list[Estimate]:
    """Slopes of ``F_t = c + b_1 x_t + b_2 x_{t-1} + .. + b_L x_{t-L+1} + u``.

    A rational AR(1) forecaster has ``rho, 0, 0, ..``. Slopes of neighbouring lags are correlated
    when x is persistent: read the profile, not one lag.

    Parameters
    ----------
    frame : DataFrame
        Columns ``forecast, history`` (oldest first, the last one is ``x_t``) and ``cluster``.
    cluster : str
        ``series``, or ``month`` for a cross-section of returns, whose stocks share its shock.

    Returns
    -------
    list of Estimate
        ``lag_1`` (the last number shown) to ``lag_<lags>``.

    Raises
    ------
    InvalidValueError, NotDefinedError
        Missing values or a history shorter than ``lags``; lags that do not vary independently.
    """
    require_columns(frame, (cluster, "forecast", "history"))
    design = sm.add_constant(lag_matrix(frame, lags), has_constant="add")
    fit = clustered_fit(numbers(frame, "forecast"), design, frame[cluster])
    clusters = frame[cluster].nunique()
    return [from_fit(f"lag_{k}", fit, k, clusters, f"cluster by {cluster}")
            for k in range(1, lags + 1)]


def lag_matrix(frame: pd.DataFrame, lags: int) -> np.ndarray:
    """Last ``lags`` numbers of ``history``, newest first, shape ``(rows, lags)``."""
    lengths = frame["history"].map(len)
    require(1 <= lags <= lengths.min() and lengths.nunique() == 1,
            f"histories of one length, at least {lags} and lags of 1 or more",
            f"lengths {lengths.min()} to {lengths.max()}", "lower `lags` or show a longer history")
    values = shown(frame)[:, ::-1][:, :lags]
    require(np.isfinite(values).all(), "finite numbers in history", "missing or infinite ones",
            "drop these items on purpose")
    return values


def fama_macbeth(
    frame: pd.DataFrame, lags: int = 12, target: Literal["forecast", "outcome"] = "forecast"
) -> list[Estimate]:
    """Means of monthly slopes on past returns over stocks (Fama and MacBeth 1973), HAC errors."""
    slopes = monthly_slopes(frame, lags, target)
    months = len(slopes)
    # Serial correlation of the monthly slopes: Bartlett kernel, lags of Newey and West (1994).
    lag = int(4 * (months / 100) ** (2 / 9))
    kind = f"Fama-MacBeth mean of {months} months, HAC({lag})"
    estimates = []
    for name, values in slopes.items():
        fit = sm.OLS(values.to_numpy(), np.ones(months)).fit(
            cov_type="HAC", cov_kwds={"maxlags": lag}, use_t=True
        )
        one = from_hac(str(name), fit, 0, kind)
        estimates.append(replace(one, n=len(frame), clusters=months))
    return estimates


def monthly_slopes(frame: pd.DataFrame, lags: int, target: str) -> pd.DataFrame:
    """Slopes of each month, in time order: index ``month``, columns ``lag_1`` to ``lag_<lags>``."""
    require_columns(frame, ("month", "stock", target, "history"))
    _check_months(frame, lags)
    y, x = numbers(frame, target), lag_matrix(frame, lags)
    rows = frame.groupby("month").indices
    slopes = {}
    for month, i in rows.items():
        design = np.column_stack([np.ones(len(i)), x[i]])
        slopes[month], _, rank, _ = np.linalg.lstsq(design, y[i], rcond=None)
        require(rank == lags + 1, f"returns that vary independently over {lags} lags",
                f"collinear ones in month {month}",
                "use fewer lags, or drop the month on purpose")
    names = ["constant", *(f"lag_{k}" for k in range(1, lags + 1))]
    table = pd.DataFrame.from_dict(slopes, orient="index", columns=names)
    return table.drop(columns="constant").sort_index()


def _check_months(frame: pd.DataFrame, lags: int) -> None:
    require(not frame.duplicated(["month", "stock"]).any(),
            "one row for each month and stock", "duplicates", "estimate one arm at a time")
    stocks = frame["month"].value_counts()
    require(len(stocks) >= 2 and stocks.min() >= lags + 2,
            f"at least two months of at least {lags + 2} stocks each",
            f"{len(stocks)} months, the smallest of {stocks.min()} stocks",
            "use more stocks or fewer lags, or drop the month on purpose")
