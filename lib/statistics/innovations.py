"""Forecast errors and the news that came last.

Implied persistence mixes the response to news with the response to old values; this regression
isolates the first. For AR(1) and a linear forecaster ``F_t x_{t+h} = a_0 x_t + a_1 x_{t-1} + ..``
the slope of the error on the last innovation is ``rho^h - a_0``, whatever the other weights are::

    forecaster                                     a_0                 slope
    full information    rho^h x_t                  rho^h               0
    misperceived        rho_s^h x_t                rho_s^h             rho^h - rho_s^h
    diagnostic          E_t + theta (E_t - E_t-1)  (1 + theta) rho^h   -theta rho^h
    sticky              l F_t-1 + (1 - l) E_t      (1 - l) rho^h       l rho^h
    adaptive            d F_t-1 + (1 - d) x_t      1 - d               rho^h - (1 - d)

Negative is over-reaction to news. Noise in the forecast stands on the left-hand side only, so it
leaves the slope unbiased, unlike that of `error_revision`.
"""

import numpy as np
import pandas as pd
import statsmodels.api as sm

from lib.errors import InvalidValueError
from lib.forecasting.frames import shown
from lib.forecasting.learners import least_squares_shown
from lib.statistics.estimate import Estimate
from lib.statistics.regressions import (
    clustered_fit,
    from_fit,
    hac_estimate,
    numbers,
    require_columns,
    variables,
)


def error_on_innovation(frame: pd.DataFrame) -> Estimate:
    """Slope of ``x_{t+h} - F_t x_{t+h} = a + d e_t + v`` on the last innovation e_t.

    Errors are clustered by ``series``. The innovation is taken from column ``innovation``, or
    made by `with_innovation`; ``method`` says how.

    Parameters
    ----------
    frame : DataFrame
        Columns ``series, x, outcome, forecast, previous_history``, and ``rho, mu`` where known.

    Raises
    ------
    InvalidValueError
        A missing column, missing values, fewer than two series.
    NotDefinedError
        An innovation that never varies.
    """
    kind = "given" if "innovation" in frame else _kind(frame)
    frame = frame if "innovation" in frame else with_innovation(frame)
    y, x = variables("error_on_innovation", frame)
    fit = clustered_fit(y, sm.add_constant(x), frame["series"])
    kind = f"{kind} innovation, cluster by series"
    return from_fit("error_on_innovation", fit, 1, frame["series"].nunique(), kind)


def error_on_innovation_hac(frame: pd.DataFrame, maxlags: int | None = None) -> Estimate:
    """`error_on_innovation` of one real series; see `implied_persistence_hac`."""
    frame = frame if "innovation" in frame else with_innovation(frame)
    return hac_estimate("error_on_innovation", frame, maxlags)


def with_innovation(frame: pd.DataFrame) -> pd.DataFrame:
    """Frame with a column ``innovation``: ``x_t`` less its rational expectation one period earlier.

    Where ``rho`` and ``mu`` are known, ``e_t = x_t - mu - rho (x_{t-1} - mu)`` exactly, with
    ``x_{t-1}`` the last value of ``previous_history``. Where no row knows them (a real series, a
    process other than AR(1)) the expectation is the forecast of a regression of each number on
    the one before, run on ``previous_history`` alone: the surprise of a least-squares learner.
    It uses no value after t, so the slope of a rational forecaster is zero with it too; that of
    another one is near the closed form only where the learner is near the truth. `compare` and
    `wild_cluster` take frames with this column.

    Raises
    ------
    InvalidValueError
        A frame in which only some rows have ``rho`` and ``mu``, or too short a history.
    """
    require_columns(frame, ("x", "previous_history"))
    past = shown(frame, "previous_history")
    if _kind(frame) == "exact":
        mu, rho = numbers(frame, "mu"), numbers(frame, "rho")
        expected = mu + rho * (past[:, -1] - mu)
    else:
        expected = least_squares_shown(past, 1)
    if np.isnan(expected).any():
        raise InvalidValueError(
            "at least three earlier values for the learner's expectation",
            f"{past.shape[1]} in previous_history",
            "show a longer history, or give rho and mu",
        )
    return frame.assign(innovation=numbers(frame, "x") - expected)


def innovation_coefficient(response: float, rho: float, horizon: int = 1) -> float:
    """Population slope ``rho^h - a_0`` for AR(1), with a_0 the weight of ``x_t`` in the forecast.

    ``Cov(x_{t+h} - F_t, e_t) = (rho^h - a_0) sigma^2``, because ``x_t`` alone holds ``e_t``. The
    head of this module lists a_0 for known forecasters.
    """
    return rho**horizon - response


def _kind(frame: pd.DataFrame) -> str:
    """``exact`` or ``least-squares``, by what the frame knows."""
    known = frame.reindex(columns=["rho", "mu"]).notna().all(axis=1)
    if known.any() and not known.all():
        raise InvalidValueError(
            "rho and mu known in every row or in none",
            f"known in {int(known.sum())} of {len(frame)} rows",
            "estimate synthetic and real series apart",
        )
    return "exact" if known.any() else "least-squares"
