"""Cross-sections of returns: one regression a month, then the mean of its slopes."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
import statsmodels.api as sm

from lib.errors import InvalidValueError
from lib.estimators.columns import numbers, require
from lib.estimators.estimate import Estimate
from lib.estimators.lags import lag_matrix
from lib.estimators.regressions import from_fit


def fama_macbeth(
    frame: pd.DataFrame,
    lags: int = 12,
    target: Literal["forecast", "outcome"] = "forecast",
    maxlags: int | None = None,
) -> list[Estimate]:
    """Mean over months of the cross-sectional slopes on past returns (Fama and MacBeth 1973).

    In each month ``y_i = c + b_1 r_{i,t} + .. + b_L r_{i,t-L+1} + u_i`` over stocks; the estimate
    is the mean of the monthly ``b_k``, each month with equal weight. What all stocks of a month
    share goes into its constant. The error is that of a mean with serial correlation (Newey and
    West 1987, Bartlett kernel). Rule for its lags, if ``maxlags`` is not given:
    ``floor(4 (T/100)^{2/9})`` with T months (Newey and West 1994), t(T - 1) critical values. A
    horizon of h months makes slopes overlap: give at least h - 1.

    Run it on ``target="outcome"`` too: what past returns did predict is what a rational forecast
    would use. Slopes are linear in the target, so before against after an intervention is the
    same regression of the difference of the two forecasts.

    Parameters
    ----------
    frame : DataFrame
        Columns ``month, stock, history`` (returns, oldest first) and the target. ``month`` sorts
        in time order.

    Returns
    -------
    list of Estimate
        ``lag_1`` (the last month) to ``lag_<lags>``; ``clusters`` are months.

    Raises
    ------
    InvalidValueError
        A missing column, missing values, a stock twice in a month, fewer than two months, or a
        month with too few stocks for the regression.
    """
    slopes = monthly_slopes(frame, lags, target)
    months = len(slopes)
    lag = int(4 * (months / 100) ** (2 / 9)) if maxlags is None else maxlags
    kind = f"Fama-MacBeth mean of {months} months, HAC({lag})"
    estimates = []
    for name, values in slopes.items():
        fit = sm.OLS(values.to_numpy(), np.ones(months)).fit(
            cov_type="HAC", cov_kwds={"maxlags": lag}, use_t=True
        )
        one = from_fit(str(name), fit, 0, 1, kind)
        estimates.append(replace(one, n=len(frame), clusters=months))
    return estimates


def monthly_slopes(
    frame: pd.DataFrame, lags: int = 12, target: Literal["forecast", "outcome"] = "forecast"
) -> pd.DataFrame:
    """Slopes of each month, in time order: index ``month``, columns ``lag_1`` to ``lag_<lags>``.

    Raises
    ------
    InvalidValueError
        As `fama_macbeth`.
    """
    require(frame, ("month", "stock", target, "history"))
    _check_months(frame, lags)
    y, x = numbers(frame, target), lag_matrix(frame, lags)
    rows = frame.groupby("month").indices
    slopes = {}
    for month, i in rows.items():
        design = np.column_stack([np.ones(len(i)), x[i]])
        slopes[month], _, rank, _ = np.linalg.lstsq(design, y[i], rcond=None)
        if rank < lags + 1:
            raise InvalidValueError(
                f"returns that vary independently over {lags} lags",
                f"collinear ones in month {month}",
                "use fewer lags, or drop the month on purpose",
            )
    names = ["constant", *(f"lag_{k}" for k in range(1, lags + 1))]
    table = pd.DataFrame.from_dict(slopes, orient="index", columns=names)
    return table.drop(columns="constant").sort_index()


def _check_months(frame: pd.DataFrame, lags: int) -> None:
    if frame.duplicated(["month", "stock"]).any():
        raise InvalidValueError(
            "one row for each month and stock", "duplicates", "estimate one arm at a time"
        )
    stocks = frame["month"].value_counts()
    if len(stocks) < 2 or stocks.min() < lags + 2:
        raise InvalidValueError(
            f"at least two months of at least {lags + 2} stocks each",
            f"{len(stocks)} months, the smallest of {stocks.min()} stocks",
            "use more stocks or fewer lags, or drop the month on purpose",
        )
