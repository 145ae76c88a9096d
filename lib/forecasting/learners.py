"""Rational benchmarks: item frame in, the same frame with the rational forecasts out.

Three answers to "what should have been forecast", from most to least information:
`full_information` knows the process, `bayes` knows its family and a prior over rho,
`least_squares` knows neither and runs regressions on the past. All fill ``forecast`` (of
``x_{t+h}`` at t) and ``previous_forecast`` (of the same ``x_{t+h}`` at t - 1), and none can see
anything after the period in which it forecasts.

Least-squares learners: regressions run again in every period on the past of that period.

Direct h-step regression with p lags, as in equation 4.2 of Afrouzi et al. (2023), who use p = 4::

    x_{s+h} = a + b_1 x_s + ... + b_p x_{s-p+1} + v,      all pairs with s + h <= t

or, iterated, the one-step regression rolled h periods ahead.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import softmax

from lib.errors import InvalidValueError
from lib.forecasting.frames import horizon_of, panel_values, shown

Path = Callable[[np.ndarray, int], np.ndarray]
"""Panel and horizon to a panel of forecasts; see `lib.forecasting.bayes`."""

TRAINING_GRID = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def full_information(frame: pd.DataFrame, path: Path | None = None) -> pd.DataFrame:
    """Conditional expectation of someone who knows the process.

    For AR(1), ``mu + rho^h (x_t - mu)`` with the frame's own ``rho`` and ``mu``. For another
    process give its ``path``, say ``partial(ma1_path, theta=0.5, mu=100)``.

    Raises
    ------
    InvalidValueError
        Rows without a rho, when no path is given.
    """
    if path is not None:
        return along(frame, path)
    if frame[["rho", "mu"]].isna().any(axis=None):
        raise InvalidValueError(
            "a known rho and mu in every row",
            "rows without them (a real series, or a process other than AR(1))",
            "give the `path` of the process, or use `least_squares`",
        )
    h, mu, rho = horizon_of(frame), frame["mu"], frame["rho"]
    before = shown(frame, "previous_history")[:, -1]
    return frame.assign(
        forecast=mu + rho**h * (frame["x"] - mu),
        previous_forecast=mu + rho ** (h + 1) * (before - mu),
    )


def least_squares(
    frame: pd.DataFrame,
    lags: int = 1,
    data: Literal["past", "shown"] = "past",
    window: int | None = None,
    iterate: bool = False,
) -> pd.DataFrame:
    """Least-squares learner; ``lags=4`` is equation 4.2 of Afrouzi et al. (2023).

    Parameters
    ----------
    data : {"past", "shown"}
        Regress on every value of the series so far (expanding, as they do), or on the numbers
        shown in the item, which is all that a language model gets.
    window : int, optional
        With ``data="past"``: only the last ``window`` values.
    iterate : bool
        Roll one-step regressions forward for the two-step forecast, instead of direct ones. The
        error-on-revision coefficient near rho = 0 depends on this choice (-0.5 or -1).

    Raises
    ------
    InvalidValueError
        Too few values for so many lags.
    """
    if data == "past":
        path = partial(least_squares_path, lags=lags, window=window, iterate=iterate)
        return _complete(along(frame, path), lags)
    h, learner = horizon_of(frame), partial(least_squares_shown, lags=lags, iterate=iterate)
    filled = frame.assign(
        forecast=learner(shown(frame), h),
        previous_forecast=learner(shown(frame, "previous_history"), h + 1),
    )
    return _complete(filled, lags)


def least_squares_real(
    frame: pd.DataFrame,
    values: pd.Series,
    lags: int = 1,
    window: int | None = None,
    iterate: bool = False,
) -> pd.DataFrame:
    """Least-squares learner of a real series, run in source units, shown on the display scale.

    ``frame`` comes from `window_items(values, ...)`; its scale differs from row to row, so the
    regressions use ``values`` and each forecast is mapped into the scale of its own row.
    """
    h, t = horizon_of(frame), frame["t"].to_numpy()
    raw = values.to_numpy(dtype=float)[None]
    learner = partial(least_squares_path, raw, lags=lags, window=window, iterate=iterate)
    now, before = learner(h)[0, t], learner(h + 1)[0, t - 1]
    location, scale = frame["location"], frame["scale"]
    filled = frame.assign(
        forecast=(now - location) / scale, previous_forecast=(before - location) / scale
    )
    return _complete(filled, lags)


def bayes(
    frame: pd.DataFrame,
    rho_grid: Sequence[float] = TRAINING_GRID,
    prior: Sequence[float] | None = None,
    known_mu: bool = True,
    known_sigma: bool = True,
) -> pd.DataFrame:
    """Posterior-mean forecast given the numbers shown: the best that training can teach.

    ``mu + E[rho^h | history] (x_t - mu)``. See `posterior` for the assumptions. With an unknown
    mean the forecast of each rho is ``rho^h x_t + c (1 + rho + .. + rho^{h-1})``.

    Under the prior the revision is a martingale difference, so b = 0 **pooled** over a rho drawn
    from it, but not cell by cell: at rho = 0 even this forecaster has a negative b.
    """
    h = horizon_of(frame)
    grid = np.asarray(rho_grid, dtype=float)
    mu = frame["mu"].to_numpy(dtype=float) if known_mu else None
    sigma = frame["sigma"].to_numpy(dtype=float) if known_sigma else None

    def mean(windows: np.ndarray, ahead: int) -> np.ndarray:
        weights = posterior(windows, grid, prior, mu, sigma)
        cumulated = np.sum([grid**j for j in range(ahead)], axis=0)
        each = windows[:, -1:] * grid**ahead + _intercepts(windows, grid, mu) * cumulated
        return (weights * each).sum(axis=1)

    return frame.assign(
        forecast=mean(shown(frame), h),
        previous_forecast=mean(shown(frame, "previous_history"), h + 1),
    )


def posterior(
    windows: np.ndarray,
    rho_grid: Sequence[float],
    prior: Sequence[float] | None = None,
    mu: np.ndarray | None = None,
    sigma: np.ndarray | None = None,
) -> np.ndarray:
    """Posterior weights of each rho given the numbers shown, shape ``(rows, rhos)``.

    Likelihood of ``x_2 .. x_n`` given ``x_1`` (its own density is left out: it is improper at
    rho = 1); the rounding of the display is ignored. ``SSR`` is the sum of squared one-step
    errors.

    Parameters
    ----------
    prior : sequence of float, optional
        One weight for each rho; equal if not given.
    mu, sigma : ndarray, shape (rows,), optional
        Known parameters: likelihood ``exp(-SSR / 2 sigma^2)``. Without ``mu`` the intercept
        ``c = (1 - rho) mu`` is integrated under a flat prior (a drift at rho = 1); without
        ``sigma`` it is integrated under 1/sigma, giving ``SSR^(-m/2)`` with m the number of
        errors, less one for an unknown intercept.
    """
    grid = np.asarray(rho_grid, dtype=float)
    now, before = windows[:, 1:, None], windows[:, :-1, None]
    errors = now - before * grid - _intercepts(windows, grid, mu)[:, None]
    ssr = np.maximum((errors**2).sum(axis=1), np.finfo(float).tiny)
    m = windows.shape[1] - 1 - (mu is None)
    scaled = m * np.log(ssr) if sigma is None else ssr / np.asarray(sigma)[:, None] ** 2
    weights = np.ones(len(grid)) if prior is None else np.asarray(prior, dtype=float)
    if weights.shape != grid.shape or (weights < 0).any() or weights.sum() == 0:
        raise InvalidValueError(
            f"a prior of {len(grid)} non-negative weights", f"{prior}", "correct `prior`"
        )
    with np.errstate(divide="ignore"):
        log_posterior = np.log(weights) - scaled / 2
    return softmax(log_posterior, axis=1)


def along(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Read both forecasts of every item off a path run over the whole past of its series."""
    values, row = panel_values(frame)
    h, t = horizon_of(frame), frame["t"].to_numpy()
    return frame.assign(
        forecast=path(values, h)[row, t], previous_forecast=path(values, h + 1)[row, t - 1]
    )


def _intercepts(windows: np.ndarray, grid: np.ndarray, mu: np.ndarray | None) -> np.ndarray:
    """``c = (1 - rho) mu``, or its posterior mean given rho, shape ``(rows, rhos)``."""
    if mu is not None:
        return np.asarray(mu)[:, None] * (1 - grid)
    return windows[:, 1:].mean(axis=1)[:, None] - windows[:, :-1].mean(axis=1)[:, None] * grid


def _complete(frame: pd.DataFrame, lags: int) -> pd.DataFrame:
    if frame[["forecast", "previous_forecast"]].isna().any(axis=None):
        raise InvalidValueError(
            f"enough past values for a regression on {lags} lags and a constant",
            "items with fewer pairs than coefficients",
            "use fewer lags, a longer window or a longer history",
        )
    return frame

RCOND = 1e-10
"""Relative eigenvalue below which a direction of the design counts as collinear."""


def least_squares_path(
    values: np.ndarray,
    horizon: int,
    lags: int = 1,
    window: int | None = None,
    iterate: bool = False,
) -> np.ndarray:
    """Forecast of ``x_{t+h}`` at every t from regressions on the values up to t.

    Parameters
    ----------
    values : ndarray, shape (series, length)
    window : int, optional
        Use the last ``window`` values only; all values so far if not given.
    iterate : bool
        Roll a one-step regression forward instead of the direct h-step one.

    Returns
    -------
    ndarray, shape (series, length)
        NaN while there are fewer pairs than coefficients.
    """
    values = np.asarray(values, dtype=float)
    ahead = 1 if iterate else horizon
    centred = values - values[:, :1]
    design, target = _pairs(centred, lags, ahead)
    moments = np.cumsum(np.einsum("spi,spj->spij", design, design), axis=1)
    cross = np.cumsum(design * target[..., None], axis=1)
    count = np.arange(1, target.shape[1] + 1)
    if window is not None:
        pairs = window - lags - ahead + 1
        moments[:, pairs:] -= moments[:, :-pairs].copy()
        cross[:, pairs:] -= cross[:, :-pairs].copy()
        count = np.where(count < pairs, 0, pairs)
    enough = count >= lags + 1
    forecast = np.full(values.shape, np.nan)
    start = lags - 1 + ahead  # period in which the first pair is complete
    coefficients = _solve(moments[:, enough], cross[:, enough])
    states = np.lib.stride_tricks.sliding_window_view(centred, lags, axis=1)[..., ::-1]
    states = states[:, start - lags + 1 :][:, enough]
    forecast[:, start:][:, enough] = _predict(coefficients, states, horizon if iterate else 1)
    return forecast + values[:, :1]


def least_squares_shown(
    windows: np.ndarray,
    horizon: int,
    lags: int = 1,
    iterate: bool = False,
    discount: float = 1.0,
) -> np.ndarray:
    """One forecast a row, from a regression on the numbers shown in that row alone.

    ``discount`` < 1 weighs the pair that ended k periods ago by ``discount^k`` (constant-gain
    learning; Afrouzi et al. write ``kappa^-k``).

    Parameters
    ----------
    windows : ndarray, shape (rows, history)

    Returns
    -------
    ndarray, shape (rows,)
        NaN where there are fewer pairs than coefficients.
    """
    windows = np.asarray(windows, dtype=float)
    ahead = 1 if iterate else horizon
    if windows.shape[1] - lags - ahead + 1 < lags + 1:
        return np.full(len(windows), np.nan)
    centred = windows - windows[:, :1]
    design, target = _pairs(centred, lags, ahead)
    weights = discount ** np.arange(target.shape[1])[::-1]
    moments = np.einsum("rpi,p,rpj->rij", design, weights, design)
    cross = np.einsum("rpi,p,rp->ri", design, weights, target)
    state = centred[:, ::-1][:, :lags]
    return windows[:, 0] + _predict(_solve(moments, cross), state, horizon if iterate else 1)


def _pairs(values: np.ndarray, lags: int, ahead: int) -> tuple[np.ndarray, np.ndarray]:
    """Regressors ``(1, x_s, .., x_{s-p+1})`` and targets ``x_{s+h}`` in order of time."""
    lagged = np.lib.stride_tricks.sliding_window_view(values[:, :-ahead], lags, axis=1)[..., ::-1]
    constant = np.ones((*lagged.shape[:2], 1))
    return np.concatenate([constant, lagged], axis=2), values[:, lags - 1 + ahead :]


def _solve(moments: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Normal equations, with the shortest solution where the design is collinear."""
    return (np.linalg.pinv(moments, rcond=RCOND, hermitian=True) @ cross[..., None])[..., 0]


def _predict(coefficients: np.ndarray, state: np.ndarray, steps: int) -> np.ndarray:
    """Apply ``a + b' state``, feeding the forecast back ``steps - 1`` times."""
    for _ in range(steps):
        ahead = coefficients[..., 0] + (coefficients[..., 1:] * state).sum(axis=-1)
        state = np.concatenate([ahead[..., None], state[..., :-1]], axis=-1)
    return ahead
