"""Least squares with errors clustered by a column: what estimators with several slopes share.

Checks of the columns that an estimator is given.

Measures of over-reaction: item frame in, `Estimate` out; statsmodels underneath.

Every regression has an intercept, errors clustered by ``series`` and t(G - 1) critical values:
with the normal ones a nominal 5 % test rejects 8 to 10 % of the time at 8 to 15 clusters.
There are no series fixed effects: they correlate with later errors and manufacture
over-reaction out of rational forecasts (-0.01 to -0.07 at 40 rounds; Nickell).

Report implied persistence first. The error-on-revision coefficient never stands alone: it is
-0.45 for a rational least-squares learner at rho = 0 and -0.5 for pure noise. Put the same
items' learner, Bayes and noise rows and the variance of revisions beside it.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import statsmodels.api as sm
from statsmodels.regression.linear_model import RegressionResultsWrapper

from lib.errors import InvalidValueError, UnknownNameError
from lib.statistics.estimate import Estimate, t_interval


def clustered_fit(
    y: np.ndarray, design: np.ndarray, clusters: pd.Series
) -> RegressionResultsWrapper:
    """statsmodels OLS with errors clustered by ``clusters``, ready for t(G - 1).

    ``V = G/(G-1) (n-1)/(n-k) (X'X)^-1 [sum_g X_g' u_g u_g' X_g] (X'X)^-1`` (Liang and Zeger 1986,
    with Stata's small-sample factor). Fewer clusters than columns leave each error valid, but no
    joint test of all columns.

    Parameters
    ----------
    y, design : ndarray, shapes (rows,) and (rows, k)
        ``design`` holds its own constant.
    clusters : Series
        Label of each row; its name appears in messages.

    Raises
    ------
    InvalidValueError
        Fewer than two clusters.
    NotDefinedError
        Columns that are linearly dependent.
    """
    groups = pd.factorize(clusters)[0]
    if groups.max() < 1:
        raise InvalidValueError(
            f"at least two values of {clusters.name} to cluster by", "one", "evaluate more of them"
        )
    scaled = design / np.maximum(np.linalg.norm(design, axis=0), np.finfo(float).tiny)
    rank = np.linalg.matrix_rank(scaled, tol=1e-9)
    if rank < design.shape[1]:
        raise NotDefinedError(
            f"{design.shape[1]} regressors that vary independently",
            f"only {rank} directions in {len(y)} rows",
            "use fewer lags, or more rows; a constant series identifies nothing",
        )
    return sm.OLS(y, design).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)


class NotDefinedError(InvalidValueError):
    """A coefficient whose regressor never varies, such as b of a forecast never revised."""


def require_columns(frame: pd.DataFrame, columns: Iterable[str], missing_allowed: bool = False) -> None:
    """Refuse a frame that is empty, lacks a column, or has missing values in one.

    Raises
    ------
    InvalidValueError
    """
    columns = tuple(columns)
    absent = [c for c in columns if c not in frame.columns]
    if absent:
        raise InvalidValueError(
            f"columns {', '.join(columns)}",
            f"no column {', '.join(absent)}",
            "fill the frame with a benchmark, a forecaster or a model before estimating",
        )
    if frame.empty:
        raise InvalidValueError("a frame with rows", "an empty one", "check the filter before it")
    gaps = frame[list(columns)].isna().sum()
    if gaps.any() and not missing_allowed:
        found = ", ".join(f"{n} in {c}" for c, n in gaps.items() if n)
        raise InvalidValueError(
            "no missing values",
            f"missing: {found}",
            "report the share of items without a forecast, then drop or bound them on purpose",
        )


def numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Column as finite floats.

    Raises
    ------
    InvalidValueError
        Text, or infinite values.
    """
    try:
        values = frame[column].to_numpy(dtype=float)
    except (TypeError, ValueError) as problem:
        raise InvalidValueError(
            f"numbers in column {column}", str(problem), "convert the column to float"
        ) from problem
    if not np.isfinite(values).all():
        raise InvalidValueError(
            f"finite numbers in column {column}",
            f"{int((~np.isfinite(values)).sum())} infinite or missing",
            "find the forecast that diverged; drop or bound it on purpose",
        )
    return values

Variables = tuple[np.ndarray, np.ndarray]
Estimator = Callable[[pd.DataFrame], Estimate]


def implied_persistence(frame: pd.DataFrame) -> Estimate:
    """Slope rho_s of ``F_t x_{t+h} = c + rho_s x_t + u`` (Afrouzi et al. 2023, equation 4.1).

    Rational: ``rho^h``. Over-reaction: more. Noise in forecasts leaves it unbiased, because the
    regressor is what was shown.

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

    Coibion and Gorodnichenko (2015) at the individual level, as Bordalo et al. (2020) and
    Afrouzi et al. (2023, equation 2.1) run it. b < 0 is read as over-reaction, with the cautions
    at the head of this module.

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

    The same evidence as `implied_persistence`, not a second piece of it.
    """
    return _clustered("error_on_level", frame)


def revision_variance(frame: pd.DataFrame) -> Estimate:
    """Mean squared deviation of ``F_t - F_{t-1}``, the denominator of `error_revision`.

    Where it is near zero the coefficient means nothing.
    """
    require_columns(frame, ("series", "forecast", "previous_forecast"))
    revision = numbers(frame, "forecast") - numbers(frame, "previous_forecast")
    squares = (revision - revision.mean()) ** 2
    fit = _fit(squares, np.ones((len(frame), 1)), pd.factorize(frame["series"])[0])
    return from_fit("revision_variance", fit, 0, frame["series"].nunique())


def implied_persistence_hac(frame: pd.DataFrame, maxlags: int | None = None) -> Estimate:
    """`implied_persistence` of one real series, errors robust to serial correlation.

    Bartlett kernel with ``ceil(1.3 sqrt(T))`` lags (Lazarus, Lewis, Stock and Watson 2018), or
    ``maxlags``, and t(T - 2) critical values; rows are put in the order of ``t`` first.
    """
    return hac_estimate("implied_persistence", frame, maxlags)


def error_revision_hac(frame: pd.DataFrame, maxlags: int | None = None) -> Estimate:
    """`error_revision` of one real series; see `implied_persistence_hac`."""
    return hac_estimate("error_revision", frame, maxlags)


def by_condition(
    frame: pd.DataFrame, estimator: Estimator, by: str | Sequence[str] = "rho"
) -> pd.DataFrame:
    """``estimator`` within each condition: its columns ``by``, then the fields of `Estimate`.

    A condition in which the coefficient is not defined (full information at rho = 0 is never
    revised) has NaN there and says so in ``method``.
    """
    keys = [by] if isinstance(by, str) else list(by)
    require_columns(frame, keys, missing_allowed=True)
    rows = [
        dict(zip(keys, condition, strict=True)) | vars(_or_undefined(estimator, cell))
        for condition, cell in frame.groupby(keys, sort=True, dropna=False)
    ]
    return pd.DataFrame(rows)


def _or_undefined(estimator: Estimator, cell: pd.DataFrame) -> Estimate:
    try:
        return estimator(cell)
    except NotDefinedError as problem:
        name, clusters = getattr(estimator, "__name__", ""), cell["series"].nunique()
        method = f"not defined: {problem.found}"
        return Estimate(name, *[np.nan] * 4, len(cell), clusters, method, np.nan)


def demean_by_series(frame: pd.DataFrame) -> pd.DataFrame:
    """Series fixed effects, for showing what is wrong with them: every number less its mean."""
    columns = frame.columns.intersection(["x", "outcome", "forecast", "previous_forecast"])
    return frame.assign(
        **{c: frame[c] - frame.groupby("series")[c].transform("mean") for c in columns}
    )


def variables(name: str, frame: pd.DataFrame) -> Variables:
    """Left-hand side and regressor of the specification ``name``, as arrays.

    Raises
    ------
    UnknownNameError
        A name other than those of `SPECIFICATIONS`.
    """
    if name not in SPECIFICATIONS:
        raise UnknownNameError(
            f"an estimator among {', '.join(SPECIFICATIONS)}", f"{name}", "pass one of these"
        )
    columns, build = SPECIFICATIONS[name]
    require_columns(frame, ("series", *columns))
    y, x = build(*(numbers(frame, c) for c in columns))
    if np.ptp(x) <= 1e-12 * max(1.0, np.abs(x).max()):
        raise NotDefinedError(
            f"a regressor that varies, for {name}",
            "the same value in every row" + (" (no revision)" if name == "error_revision" else ""),
            "report revision_variance instead: the coefficient is not defined here",
        )
    return y, x


SPECIFICATIONS: dict[str, tuple[tuple[str, ...], Callable[..., Variables]]] = {
    "implied_persistence": (("forecast", "x"), lambda f, x: (f, x)),
    "error_revision": (
        ("outcome", "forecast", "previous_forecast"), lambda o, f, p: (o - f, f - p)
    ),
    "error_on_level": (("outcome", "forecast", "x"), lambda o, f, x: (o - f, x)),
    "error_on_innovation": (("outcome", "forecast", "innovation"), lambda o, f, e: (o - f, e)),
}
"""Name to the columns it needs and the pair (left-hand side, regressor) made of them."""


def from_fit(
    name: str,
    fit: RegressionResultsWrapper,
    position: int,
    clusters: int,
    kind: str = "cluster by series",
) -> Estimate:
    """`Estimate` of one coefficient of a statsmodels fit with ``use_t=True``."""
    value = float(fit.params[position])
    # Where everything cancels, rounding can leave a variance just below zero.
    se = float(np.sqrt(max(0.0, fit.cov_params()[position, position])))
    df = clusters - 1.0 if clusters > 1 else float(fit.df_resid)
    low, high = t_interval(value, se, df)
    method = f"ols, {kind}, t({df:g})"
    return Estimate(name, value, se, low, high, int(fit.nobs), clusters, method, df)


def _fit(y: np.ndarray, design: np.ndarray, groups: np.ndarray) -> RegressionResultsWrapper:
    if groups.max() < 1:
        raise InvalidValueError(
            "at least two series to cluster by",
            "one series",
            "evaluate more series, or use the _hac estimators for a single real one",
        )
    return sm.OLS(y, design).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)


def _clustered(name: str, frame: pd.DataFrame) -> Estimate:
    y, x = variables(name, frame)
    fit = _fit(y, sm.add_constant(x), pd.factorize(frame["series"])[0])
    return from_fit(name, fit, 1, frame["series"].nunique())


def hac_estimate(name: str, frame: pd.DataFrame, maxlags: int | None) -> Estimate:
    """The regression `name` on one series, errors as `implied_persistence_hac` says."""
    require_columns(frame, ("series", "t"))
    if frame["series"].nunique() > 1:
        raise InvalidValueError(
            "one series", f"{frame['series'].nunique()} series", "cluster by series instead"
        )
    y, x = variables(name, frame.sort_values("t"))
    lags = int(np.ceil(1.3 * np.sqrt(len(x)))) if maxlags is None else maxlags
    fit = sm.OLS(y, sm.add_constant(x)).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags}, use_t=True
    )
    return from_fit(name, fit, 1, 1, f"HAC({lags})")
