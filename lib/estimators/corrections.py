"""Small-sample bias of persistence and of predictive slopes, and what removes it.

A least-squares slope on a persistent regressor with an estimated mean is biased, because the mean
holds later errors. T below is the number of **pairs** ``(x_t, x_{t+1})``. `lib.estimators.within`
has the panel form of the same bias, `lib.estimators.measurement` that of noise.
"""

import numpy as np
import statsmodels.api as sm

from lib.errors import InvalidValueError
from lib.estimators.estimate import Estimate, t_interval


def ar1_bias(rho: float, pairs: int, mean_known: bool = False) -> float:
    """``E[rho_hat] - rho`` of one AR(1) series to first order.

    ``-(1 + 3 rho) / T`` with an estimated mean (Kendall 1954; Marriott and Pope 1954),
    ``-2 rho / T`` with a known one (Hurwicz 1950; White 1961). Made for ``|rho| < 1``: a random
    walk has -5.3/T and -1.8/T (Dickey and Fuller's laws) where these formulas say -4/T and -2/T.
    """
    return -2 * rho / pairs if mean_known else -(1 + 3 * rho) / pairs


def ar1_slopes(values: np.ndarray) -> np.ndarray:
    """Least-squares ``rho_hat`` of each row, constant included, shape ``(series,)``.

    Parameters
    ----------
    values : ndarray, shape (series, length)
    """
    before, after = values[:, :-1], values[:, 1:]
    before = before - before.mean(axis=1, keepdims=True)
    return (before * after).sum(axis=1) / (before**2).sum(axis=1)


def kendall_corrected(rho_hat: np.ndarray | float, pairs: int) -> np.ndarray | float:
    """``(T rho_hat + 1) / (T - 3)``: the rho whose Kendall bias explains ``rho_hat``.

    Solves ``rho_hat = rho - (1 + 3 rho) / T``. The variance grows by ``(T / (T - 3))^2``; a value
    above 1 is possible and is not cut off, because cutting brings a bias back.

    Raises
    ------
    InvalidValueError
        Fewer than four pairs.
    """
    if pairs < 4:
        raise InvalidValueError("at least 4 pairs", f"{pairs}", "use a longer series")
    return (pairs * rho_hat + 1) / (pairs - 3)


def corrected_persistence(values: np.ndarray) -> Estimate:
    """Kendall-corrected persistence of one series, with its least-squares error.

    Parameters
    ----------
    values : ndarray, shape (length,)
        In time order. The error assumes an AR(1); it is ``T / (T - 3)`` times that of least
        squares.

    Raises
    ------
    InvalidValueError
        Too short, constant or missing values.
    """
    before, after = _pairs(values)
    fit, pairs = sm.OLS(after, sm.add_constant(before)).fit(), len(before)
    value = kendall_corrected(float(fit.params[1]), pairs)
    se = float(fit.bse[1]) * pairs / (pairs - 3)
    return _estimate("persistence", value, se, pairs, fit.df_resid, "ols, Kendall-corrected")


def stambaugh_bias(rho: float, ratio: float, pairs: int) -> float:
    """``E[b_hat] - b = -ratio (1 + 3 rho) / T`` of a predictive regression (Stambaugh 1999).

    ``y_{t+1} = a + b x_t + u_{t+1}``, ``x_{t+1} = c + rho x_t + v_{t+1}``, and ``ratio`` is
    ``Cov(u, v) / Var(v)``. With a forecast error on the left and a rational forecaster, b = 0 and
    ``u = v``: the ratio is 1, and one series seems to over-react by Kendall's bias.
    """
    return ratio * ar1_bias(rho, pairs)


def predictive_slope(y: np.ndarray, x: np.ndarray) -> Estimate:
    """Slope b of ``y_{t+1} = a + b x_t + u_{t+1}`` without most of Stambaugh's bias.

    Amihud and Hurvich (2004): with ``rho_c = rho_hat + (1 + 3 rho_hat)/T + 3 (1 + 3 rho_hat)/T^2``
    and the innovations ``v_c`` it implies, regress y on ``(1, x_t, v_c)``. The coefficient of
    ``x_t`` is b_c; with phi that of ``v_c``,
    ``se^2 = phi^2 (1 + 3/T + 9/T^2)^2 se(rho_hat)^2 + se(b_c)^2``.

    Parameters
    ----------
    y, x : ndarray, shape (length,)
        In time order; ``y[t + 1]`` is predicted by ``x[t]``, ``y[0]`` is not used.

    Raises
    ------
    InvalidValueError
        Unequal lengths, too short, constant or missing values.
    """
    y = np.asarray(y, dtype=float)
    before, after = _pairs(x)
    pairs = len(before)
    if y.shape != (pairs + 1,) or not np.isfinite(y).all():
        raise InvalidValueError(
            f"{pairs + 1} finite values of y, as many as of x", f"shape {y.shape}", "align them"
        )
    auto = sm.OLS(after, sm.add_constant(before)).fit()
    rho_hat = float(auto.params[1])
    rho = rho_hat + (1 + 3 * rho_hat) * (1 / pairs + 3 / pairs**2)
    innovation = after - after.mean() - rho * (before - before.mean())
    fit = sm.OLS(y[1:], np.column_stack([np.ones(pairs), before, innovation])).fit()
    growth = 1 + 3 / pairs + 9 / pairs**2
    se = float(np.hypot(fit.params[2] * growth * auto.bse[1], fit.bse[1]))
    kind = "augmented ols (Amihud-Hurvich)"
    return _estimate("predictive_slope", float(fit.params[1]), se, pairs, fit.df_resid, kind)


def _pairs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 6 or not np.isfinite(values).all() or np.ptp(values) == 0:
        raise InvalidValueError(
            "one series of at least 6 finite values that vary",
            f"shape {values.shape}, {int((~np.isfinite(values)).sum())} not finite",
            "drop missing values, or use a longer series",
        )
    return values[:-1], values[1:]


def _estimate(name: str, value: float, se: float, n: int, df: float, kind: str) -> Estimate:
    return Estimate(name, value, se, *t_interval(value, se, df), n, 1, f"{kind}, t({df:g})", df)
