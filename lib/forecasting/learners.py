"""Rational benchmarks: item frame in, the same frame with the rational forecasts out.

From most to least information: `full_information` knows the process, `bayes` knows that it is an
AR(1) and a prior over rho (`lib.forecasting.bayes` does the same for others), `least_squares` runs
regressions on the past. All fill ``forecast`` (of ``x_{t+h}`` at t) and ``previous_forecast`` (of
the same at t - 1), and none can see anything after the period in which it forecasts.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import softmax

from lib.errors import require
from lib.forecasting.frames import both_rounds, horizon_of, panel_values

Path = Callable[[np.ndarray, int], np.ndarray]
"""Panel and horizon to a panel of forecasts; see `lib.forecasting.bayes`."""

TRAINING_GRID = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

RCOND = 1e-10
"""Relative eigenvalue below which a direction of the design counts as collinear."""


def full_information(frame: pd.DataFrame) -> pd.DataFrame:
    """Conditional expectation of someone who knows the AR(1): ``mu + rho^h (x_t - mu)``.

    Parameters
    ----------
    frame : DataFrame
        Items with a ``rho`` and a ``mu`` in every row.

    Raises
    ------
    InvalidValueError
        Rows without them.
    """
    require(not frame[["rho", "mu"]].isna().any(axis=None), "a known rho and mu in every row",
            "rows without them (a real series, or a process other than AR(1))",
            "use `least_squares`, or read the forecasts off a path with `along`")
    mu, rho = (frame[name].to_numpy(dtype=float) for name in ("mu", "rho"))
    return both_rounds(frame, lambda past, ahead: mu + rho**ahead * (past[:, -1] - mu))


def along(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Read both forecasts of every item off a path run over the whole past of its series."""
    values, row = panel_values(frame)
    h, t = horizon_of(frame), frame["t"].to_numpy()
    return frame.assign(
        forecast=path(values, h)[row, t], previous_forecast=path(values, h + 1)[row, t - 1]
    )


def bayes(
    frame: pd.DataFrame,
    rho_grid: Sequence[float] = TRAINING_GRID,
    prior: Sequence[float] | None = None,
) -> pd.DataFrame:
    """Posterior-mean forecast given the numbers shown: the best that training can teach.

    ``mu + E[rho^h | history] (x_t - mu)`` with ``mu`` and ``sigma`` known; see `posterior`. Over a
    rho drawn from the prior b = 0, but not cell by cell: at rho = 0 it is negative even here.

    Parameters
    ----------
    rho_grid, prior : sequence of float
        Candidates, and one weight for each; equal ones if not given.

    Raises
    ------
    InvalidValueError
        A prior that does not fit the grid.
    """
    grid = np.asarray(rho_grid, dtype=float)
    mu, sigma = (frame[name].to_numpy(dtype=float) for name in ("mu", "sigma"))

    def mean(windows: np.ndarray, ahead: int) -> np.ndarray:
        weights = posterior(windows, grid, prior, mu, sigma)
        cumulated = np.sum([grid**j for j in range(ahead)], axis=0)
        each = windows[:, -1:] * grid**ahead + mu[:, None] * (1 - grid) * cumulated
        return (weights * each).sum(axis=1)

    return both_rounds(frame, mean)


def posterior(
    windows: np.ndarray, rho_grid: Sequence[float], prior: Sequence[float] | None = None,
    mu: np.ndarray | float = 0.0, sigma: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Posterior weights of each rho given the numbers shown, shape ``(rows, rhos)``.

    ``exp(-SSR / 2 sigma^2)`` times the prior, ``SSR`` the sum of squared one-step errors: the
    likelihood of ``x_2 .. x_n`` given ``x_1``, whose own density is improper at rho = 1.

    Parameters
    ----------
    windows : ndarray, shape (rows, history)
    rho_grid, prior : sequence of float
        As in `bayes`.
    mu, sigma : ndarray, shape (rows,)
        Known parameters of each row.
    """
    grid = np.asarray(rho_grid, dtype=float)
    weights = np.ones(len(grid)) if prior is None else np.asarray(prior, dtype=float)
    require(
        weights.shape == grid.shape and (weights >= 0).all() and weights.sum() > 0,
        f"a prior of {len(grid)} non-negative weights", f"{prior}", "correct `prior`",
    )
    now, before = windows[:, 1:, None], windows[:, :-1, None]
    intercepts = np.reshape(mu, (-1, 1, 1)) * (1 - grid)
    ssr = ((now - before * grid - intercepts) ** 2).sum(axis=1)
    with np.errstate(divide="ignore"):
        log_posterior = np.log(weights) - ssr / np.reshape(sigma, (-1, 1)) ** 2 / 2
    return softmax(log_posterior, axis=1)


def least_squares(
    frame: pd.DataFrame, lags: int = 1, data: Literal["past", "shown"] = "past"
) -> pd.DataFrame:
    """Least-squares learner: regressions run again in every period on the past of that period.

    Direct h-step regression with p lags; ``lags=4`` is equation 4.2 of Afrouzi et al. (2023)::

        x_{s+h} = a + b_1 x_s + ... + b_p x_{s-p+1} + v,      all pairs with s + h <= t

    Parameters
    ----------
    data : {"past", "shown"}
        Regress on every value of the series so far (expanding, as they do), or on the numbers
        shown in the item, which is all that a language model gets.

    Raises
    ------
    InvalidValueError
        Too few values for so many lags.
    """
    if data == "past":
        filled = along(frame, partial(least_squares_path, lags=lags))
    else:
        filled = both_rounds(frame, partial(least_squares_shown, lags=lags))
    return _complete(filled, lags)


def least_squares_real(frame: pd.DataFrame, values: pd.Series) -> pd.DataFrame:
    """Least-squares learner of a real series, run in source units, shown on the display scale.

    The scale of a window differs from row to row, so the regressions use the source values.

    Parameters
    ----------
    frame : DataFrame
        From ``window_items(values, ...)``.
    values : Series
        The source.
    """
    h, t = horizon_of(frame), frame["t"].to_numpy()
    raw = values.to_numpy(dtype=float)[None]
    now, before = (least_squares_path(raw, h + k)[0, t - k] for k in (0, 1))
    location, scale = frame["location"], frame["scale"]
    filled = frame.assign(
        forecast=(now - location) / scale, previous_forecast=(before - location) / scale
    )
    return _complete(filled, 1)


def _complete(frame: pd.DataFrame, lags: int) -> pd.DataFrame:
    require(not frame[["forecast", "previous_forecast"]].isna().any(axis=None),
            f"enough past values for a regression on {lags} lags and a constant",
            "items with fewer pairs than coefficients", "use fewer lags or a longer history")
    return frame


def least_squares_path(values: np.ndarray, horizon: int, lags: int = 1) -> np.ndarray:
    """Forecast of ``x_{t+h}`` at every t from the regression on the values up to t."""
    values = np.asarray(values, dtype=float)
    centred = values - values[:, :1]
    design, target = _pairs(centred, lags, horizon)
    moments = np.cumsum(np.einsum("spi,spj->spij", design, design), axis=1)
    cross = np.cumsum(design * target[..., None], axis=1)
    coefficients = _solve(moments[:, lags:], cross[:, lags:])
    first = 2 * lags - 1 + horizon  # the period in which there is a pair for each coefficient
    states = np.lib.stride_tricks.sliding_window_view(centred, lags, axis=1)[..., ::-1]
    forecast = np.full(values.shape, np.nan)  # while there are fewer pairs than coefficients
    forecast[:, first:] = _predict(coefficients, states[:, first - lags + 1 :])
    return forecast + values[:, :1]


def least_squares_shown(windows: np.ndarray, horizon: int, lags: int = 1) -> np.ndarray:
    """One forecast a row (NaN: too few pairs), from a regression on that row's numbers alone."""
    windows = np.asarray(windows, dtype=float)
    if windows.shape[1] - lags - horizon + 1 < lags + 1:
        return np.full(len(windows), np.nan)
    centred = windows - windows[:, :1]
    design, target = _pairs(centred, lags, horizon)
    moments = np.einsum("rpi,rpj->rij", design, design)
    cross = np.einsum("rpi,rp->ri", design, target)
    return windows[:, 0] + _predict(_solve(moments, cross), centred[:, ::-1][:, :lags])


def _pairs(values: np.ndarray, lags: int, ahead: int) -> tuple[np.ndarray, np.ndarray]:
    """Regressors ``(1, x_s, .., x_{s-p+1})`` and targets ``x_{s+h}`` in order of time."""
    lagged = np.lib.stride_tricks.sliding_window_view(values[:, :-ahead], lags, axis=1)[..., ::-1]
    constant = np.ones((*lagged.shape[:2], 1))
    return np.concatenate([constant, lagged], axis=2), values[:, lags - 1 + ahead :]


def _solve(moments: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Normal equations, with the shortest solution where the design is collinear."""
    return (np.linalg.pinv(moments, rcond=RCOND, hermitian=True) @ cross[..., None])[..., 0]


def _predict(coefficients: np.ndarray, state: np.ndarray) -> np.ndarray:
    """``a + b' state``."""
    return coefficients[..., 0] + (coefficients[..., 1:] * state).sum(axis=-1)
