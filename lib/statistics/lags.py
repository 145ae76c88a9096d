"""Which of the last numbers shown move the forecast, and how fast the weights decay.

Cross-sections of returns: one regression a month, then the mean of its slopes.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
import statsmodels.api as sm

from lib.errors import InvalidValueError
from lib.forecasting.frames import shown
from lib.statistics.estimate import Estimate
from lib.statistics.regressions import NotDefinedError, clustered_fit, from_fit, numbers, require_columns

DECAY_RANGE = (-0.9, 1.2)
"""Where lambda is looked for. It holds 0, the decay of whoever uses the last number alone, well
inside, so that the estimate scatters around it on both sides and its interval is honest."""

_ZOOMS = 8


def lag_coefficients(
    frame: pd.DataFrame, lags: int = 12, cluster: str = "series"
) -> list[Estimate]:
    """Slopes of ``F_t = c + b_1 x_t + b_2 x_{t-1} + .. + b_L x_{t-L+1} + u``.

    Errors are clustered by column ``cluster``: ``series``, or ``month`` for a cross-section of
    returns, where the stocks of one month share its shock. A rational AR(1) forecaster has
    ``rho, 0, 0, ..``. Slopes of neighbouring lags are correlated when x is persistent: read the
    profile, not one lag.

    Parameters
    ----------
    frame : DataFrame
        Columns ``forecast, history`` (oldest first, the last one is ``x_t``) and ``cluster``.

    Returns
    -------
    list of Estimate
        ``lag_1`` (the last number shown) to ``lag_<lags>``.

    Raises
    ------
    InvalidValueError
        A missing column, missing values, a history shorter than ``lags``, or one cluster.
    NotDefinedError
        Lags that do not vary independently.
    """
    require_columns(frame, (cluster, "forecast", "history"))
    design = sm.add_constant(lag_matrix(frame, lags), has_constant="add")
    fit = clustered_fit(numbers(frame, "forecast"), design, frame[cluster])
    clusters = frame[cluster].nunique()
    return [
        from_fit(f"lag_{k}", fit, k, clusters, f"cluster by {cluster}")
        for k in range(1, lags + 1)
    ]


def decay_weights(
    frame: pd.DataFrame, lags: int = 12, cluster: str = "series"
) -> tuple[Estimate, Estimate]:
    """Level and decay of extrapolation (Da, Huang and Jin 2021), by nonlinear least squares.

    ``F_t = g_0 + g_1 sum_j w_j x_{t-j} + u``, ``w_j = lambda^j / sum_k lambda^k``, j = 0..L-1.
    Weights sum to one, so g_1 is the response to a level kept for L periods and lambda says how
    old the numbers behind it are: Da, Huang and Jin report 0.55 a week for a crowd, 0.77 for
    professionals. Given lambda the rest is linear, so the sum of squares is profiled over lambda
    on `DECAY_RANGE`: no starting values. The errors are the sandwich of the Jacobian
    ``J = (1, w'x, g_1 (dw/dlambda)'x)``, clustered: exactly those of the artificial regression of
    ``u + J theta`` on J (Davidson and MacKinnon 2001), which also ends the search by one
    Gauss-Newton step.

    Returns
    -------
    level, decay : Estimate
        ``decay_level`` (g_1) and ``decay_rate`` (lambda).

    Raises
    ------
    InvalidValueError
        As `lag_coefficients`.
    NotDefinedError
        Forecasts that use no lag, or a lambda at the edge of its range: weights that do not decay
        geometrically.
    """
    require_columns(frame, (cluster, "forecast", "history"))
    y, x = numbers(frame, "forecast"), lag_matrix(frame, lags)
    centred, deviation = x - x.mean(axis=0), y - y.mean()
    rate = float(profile_decay(centred.T @ centred, centred.T @ deviation))
    if np.ptp(y) == 0 or not DECAY_RANGE[0] + 1e-6 < rate < DECAY_RANGE[1] - 1e-6:
        raise NotDefinedError(
            f"weights that decay with lambda inside {DECAY_RANGE}",
            "forecasts that never vary" if np.ptp(y) == 0 else f"a best lambda of {rate:.2f}",
            "report lag_coefficients: the decay is not defined here",
        )
    weights, slope = decay_curve(rate, lags)
    index = centred @ weights
    level = index @ deviation / (index @ index)
    jacobian = np.column_stack([np.ones_like(y), index, level * centred @ slope])
    fit = clustered_fit(deviation + rate * jacobian[:, 2], jacobian, frame[cluster])
    kind, clusters = f"nonlinear, cluster by {cluster}", frame[cluster].nunique()
    return (
        from_fit("decay_level", fit, 1, clusters, kind),
        from_fit("decay_rate", fit, 2, clusters, kind),
    )


def lag_matrix(frame: pd.DataFrame, lags: int) -> np.ndarray:
    """Last ``lags`` numbers of ``history``, newest first, shape ``(rows, lags)``.

    Raises
    ------
    InvalidValueError
        Histories shorter than ``lags``, of unequal length, or with values that are not finite.
    """
    lengths = frame["history"].map(len)
    if lags < 1 or lengths.min() < lags or lengths.nunique() > 1:
        raise InvalidValueError(
            f"histories of one length, at least {lags} and lags of 1 or more",
            f"lengths {lengths.min()} to {lengths.max()}",
            "lower `lags` or show a longer history",
        )
    values = shown(frame)[:, ::-1][:, :lags]
    if not np.isfinite(values).all():
        raise InvalidValueError(
            "finite numbers in history", "missing or infinite ones", "drop these items on purpose"
        )
    return values


def decay_curve(rate: np.ndarray | float, lags: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights ``w_j`` and their derivatives ``dw_j/dlambda``, shape ``(.., lags)``.

    ``dw_j = (j lambda^{j-1} - w_j sum_k k lambda^{k-1}) / sum_k lambda^k``.
    """
    rate, j = np.asarray(rate, dtype=float)[..., None], np.arange(lags)
    powers = rate**j
    derivatives = np.where(j == 0, 0.0, j * rate ** np.maximum(j - 1, 0))
    total = powers.sum(axis=-1, keepdims=True)
    weights = powers / total
    return weights, (derivatives - weights * derivatives.sum(axis=-1, keepdims=True)) / total


def profile_decay(moments: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Lambda that minimises the sum of squares, from ``X'X`` and ``X'y`` in deviations.

    The explained sum of squares at lambda is ``(w'X'y)^2 / (w'X'X w)``: a grid over
    `DECAY_RANGE`, then ever finer ones around the best point. Leading axes are other regressions.

    Parameters
    ----------
    moments, cross : ndarray, shapes (.., lags, lags) and (.., lags)
    """
    low, high = DECAY_RANGE
    step = (high - low) / 42
    grid = np.broadcast_to(np.linspace(low, high, 43), (*cross.shape[:-1], 43))
    for _ in range(_ZOOMS):
        weights, _slopes = decay_curve(grid, cross.shape[-1])
        explained = (weights @ cross[..., None])[..., 0] ** 2
        variance = ((weights @ moments) * weights).sum(axis=-1)
        explained = explained / np.maximum(variance, np.finfo(float).tiny)
        best = np.take_along_axis(grid, explained.argmax(axis=-1)[..., None], axis=-1)
        grid = np.clip(best + step * np.linspace(-1, 1, 21), low, high)
        step /= 10
    return best[..., 0]


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
    require_columns(frame, ("month", "stock", target, "history"))
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
