"""Regressions that show over-reaction: item frame in, `Estimate` out; statsmodels underneath.

Errors are clustered by ``series`` (CR2, `lib.statistics.clusters`). No series fixed effects: they
manufacture over-reaction (`lib.statistics.within`).
The error-on-revision coefficient never stands alone: it is -0.45 for a rational least-squares
learner at rho = 0, and -0.5 for pure noise. Put those rows and the variance of revisions beside it.
"""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import statsmodels.api as sm
from statsmodels.regression.linear_model import RegressionResultsWrapper

from lib.errors import InvalidValueError, UnknownNameError, require
from lib.statistics.clusters import ClusteredFit, NotDefinedError, clustered_fit
from lib.statistics.estimate import Estimate, t_interval

Variables = tuple[np.ndarray, np.ndarray]
Estimator = Callable[[pd.DataFrame], Estimate]

SPECIFICATIONS: dict[str, tuple[tuple[str, ...], Callable[..., Variables]]] = {
    "implied_persistence": (("forecast", "x"), lambda f, x: (f, x)),
    "error_revision": (
        ("outcome", "forecast", "previous_forecast"), lambda o, f, p: (o - f, f - p)
    ),
    "error_on_level": (("outcome", "forecast", "x"), lambda o, f, x: (o - f, x)),
}
"""Name to the columns it needs and the pair (left-hand side, regressor) made of them."""


def implied_persistence(frame: pd.DataFrame) -> Estimate:
    """Slope rho_s of ``F_t x_{t+h} = c + rho_s x_t + u`` (Afrouzi et al. 2023, equation 4.1).

    Rational: ``rho^h``. Over-reaction: more. Noise in forecasts leaves it unbiased.

    Parameters
    ----------
    frame : DataFrame
        Columns ``series, x, forecast``, one row an item of one horizon.

    Raises
    ------
    InvalidValueError
        A missing column, missing values, fewer than two series, or an ``x`` that never varies.
    """
    return _clustered("implied_persistence", frame)


def error_revision(frame: pd.DataFrame) -> Estimate:
    """Slope b of ``x_{t+h} - F_t x_{t+h} = a + b (F_t x_{t+h} - F_{t-1} x_{t+h}) + v``.

    Coibion and Gorodnichenko (2015) at the individual level, as Afrouzi et al. (2023, equation 2.1)
    run it. b < 0 is read as over-reaction, with the cautions at the head of this module.

    Parameters
    ----------
    frame : DataFrame
        Columns ``series, outcome, forecast, previous_forecast``.

    Raises
    ------
    InvalidValueError
        As `implied_persistence`; also where forecasts are never revised (b is not defined).
    """
    return _clustered("error_revision", frame)


def error_on_level(frame: pd.DataFrame) -> Estimate:
    """Slope of the error ``x_{t+h} - F_t`` on ``x_t``: ``rho^h - rho_s`` up to sampling error.

    The same evidence as `implied_persistence`, not a second piece of it; it raises the same.

    Parameters
    ----------
    frame : DataFrame
        Columns ``series, x, outcome, forecast``.
    """
    return _clustered("error_on_level", frame)


def revision_variance(frame: pd.DataFrame) -> Estimate:
    """Mean squared deviation of ``F_t - F_{t-1}``; near zero `error_revision` means nothing.

    Parameters
    ----------
    frame : DataFrame
        Columns ``series, forecast, previous_forecast``.
    """
    require_columns(frame, ("series", "forecast", "previous_forecast"))
    revision = numbers(frame, "forecast") - numbers(frame, "previous_forecast")
    squares = (revision - revision.mean()) ** 2
    fit = clustered_fit(squares, np.ones((len(frame), 1)), frame["series"])
    return from_fit("revision_variance", fit, 0, frame["series"].nunique())


def implied_persistence_hac(frame: pd.DataFrame) -> Estimate:
    """`implied_persistence` of one real series, errors robust to serial correlation.

    Bartlett kernel with ``ceil(1.3 sqrt(T))`` lags (Lazarus, Lewis, Stock and Watson 2018) and
    t(T - 2) critical values, in the order of ``t``.

    Parameters
    ----------
    frame : DataFrame
        Columns ``series, t, x, forecast``.

    Raises
    ------
    InvalidValueError
        Several series, or as `implied_persistence`.
    """
    require_columns(frame, ("series", "t"))
    series = frame["series"].nunique()
    require(series == 1, "one series", f"{series} series", "cluster by series instead")
    y, x = variables("implied_persistence", frame.sort_values("t"))
    lags = int(np.ceil(1.3 * np.sqrt(len(x))))
    fit = sm.OLS(y, sm.add_constant(x)).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags}, use_t=True
    )
    return from_hac("implied_persistence", fit, 1, f"HAC({lags})")


def by_condition(frame: pd.DataFrame, estimator: Estimator) -> pd.DataFrame:
    """An estimator at each rho.

    Parameters
    ----------
    estimator : function
        Frame to `Estimate`, such as `implied_persistence`.

    Returns
    -------
    DataFrame
        Column ``rho``, then the fields of `Estimate`. Where the coefficient is not defined (full
        information at rho = 0 is never revised) they are NaN, and ``method`` says so.
    """
    require_columns(frame, ["rho"], missing_allowed=True)
    return pd.DataFrame([{"rho": rho} | vars(_or_undefined(estimator, cell))
                         for rho, cell in frame.groupby("rho", dropna=False)])


def _or_undefined(estimator: Estimator, cell: pd.DataFrame) -> Estimate:
    try:
        return estimator(cell)
    except NotDefinedError as problem:
        name, clusters = getattr(estimator, "__name__", ""), cell["series"].nunique()
        method = f"not defined: {problem.found}"
        return Estimate(name, *[np.nan] * 4, len(cell), clusters, method, np.nan)


def _clustered(name: str, frame: pd.DataFrame) -> Estimate:
    y, x = variables(name, frame)
    fit = clustered_fit(y, sm.add_constant(x), frame["series"])
    return from_fit(name, fit, 1, frame["series"].nunique())


def variables(name: str, frame: pd.DataFrame) -> Variables:
    """Left-hand side and regressor of a row of `SPECIFICATIONS`, as arrays."""
    require(name in SPECIFICATIONS, f"an estimator among {', '.join(SPECIFICATIONS)}", name,
            "pass one of these", UnknownNameError)
    columns, build = SPECIFICATIONS[name]
    require_columns(frame, ("series", *columns))
    y, x = build(*(numbers(frame, c) for c in columns))
    require(np.ptp(x) > 1e-12 * max(1.0, np.abs(x).max()), f"a regressor that varies, for {name}",
            "the same value in every row" + (" (no revision)" if name == "error_revision" else ""),
            "report revision_variance instead: the coefficient is not defined here",
            NotDefinedError)
    return y, x


def from_fit(
    name: str, fit: ClusteredFit, position: int, clusters: int, kind: str = "cluster by series"
) -> Estimate:
    """`Estimate` of one coefficient of a clustered fit."""
    value, se, df = (float(v[position]) for v in (fit.params, fit.bse, fit.df))
    low, high = t_interval(value, se, df)
    method = f"ols, {kind} (CR2), t({df:.3g})"
    return Estimate(name, value, se, low, high, fit.nobs, clusters, method, df)


def from_hac(
    name: str, fit: RegressionResultsWrapper, position: int, kind: str
) -> Estimate:
    """`Estimate` of one coefficient of a statsmodels fit of one time series."""
    value, se, df = float(fit.params[position]), float(fit.bse[position]), float(fit.df_resid)
    low, high = t_interval(value, se, df)
    method = f"ols, {kind}, t({df:g})"
    return Estimate(name, value, se, low, high, int(fit.nobs), 1, method, df)


def require_columns(
    frame: pd.DataFrame, columns: Iterable[str], missing_allowed: bool = False
) -> None:
    """Refuse a frame that is empty, lacks a column, or has missing values in one."""
    columns = tuple(columns)
    absent = [c for c in columns if c not in frame.columns]
    require(not absent, f"columns {', '.join(columns)}", f"no column {', '.join(absent)}",
            "fill the frame with a benchmark, a forecaster or a model before estimating")
    require(not frame.empty, "a frame with rows", "an empty one", "check the filter before it")
    gaps = frame[list(columns)].isna().sum()
    require(missing_allowed or not gaps.any(), "no missing values",
            "missing: " + ", ".join(f"{n} in {c}" for c, n in gaps.items() if n),
            "report the share of items without a forecast, then drop or bound them on purpose")


def numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Column as floats; text and infinite values are refused."""
    try:
        values = frame[column].to_numpy(dtype=float)
    except (TypeError, ValueError) as problem:
        raise InvalidValueError(
            f"numbers in column {column}", str(problem), "convert the column to float"
        ) from problem
    require(np.isfinite(values).all(), f"finite numbers in column {column}",
            f"{int((~np.isfinite(values)).sum())} infinite or missing",
            "find the forecast that diverged; drop or bound it on purpose")
    return values
