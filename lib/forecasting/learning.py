"""Least-squares learners: regressions run again in every period on the past of that period.

Direct h-step regression with p lags, as in equation 4.2 of Afrouzi et al. (2023), who use p = 4::

    x_{s+h} = a + b_1 x_s + ... + b_p x_{s-p+1} + v,      all pairs with s + h <= t

or, iterated, the one-step regression rolled h periods ahead.
"""

import numpy as np

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
