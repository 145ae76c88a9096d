"""Noise in what is regressed: what it does to a slope, and the correction when it is known.

With independent noise the observed moments are the true ones plus its variances, so that
``b = (S_xy - c) / (S_xx - v)``, c and v the noise's share in each (Fuller 1987, section 1.2).
"""

import numpy as np
import pandas as pd

from lib.errors import InvalidValueError
from lib.estimators.columns import NotDefinedError
from lib.estimators.estimate import Estimate, t_interval
from lib.estimators.regressions import Estimator, variables


def reliability(variance: float, noise_sd: float) -> float:
    """``1 - s^2 / Var(x observed)``: the factor by which noise in x shrinks a slope.

    ``plim b_hat = reliability * b``. The numbers shown to a model are exact, so implied
    persistence is not attenuated there; for people who see values with noise, or for a series
    with measurement error, it is.
    """
    return 1 - noise_sd**2 / variance


def noisy_revision_coefficient(
    b: float, revision_variance: float, noise_sd: float, previous_noise_sd: float | None = None
) -> float:
    """``(b V - s^2) / (V + s^2 + s_0^2)``: error on revision of noisy forecasts; -1/2 in the limit.

    V is the variance of revisions without noise, s and s_0 (= s if not given) the standard
    deviations of independent noise in the forecast and the previous one. The noise s enters the
    error with a minus and the revision with a plus (Afrouzi et al. 2023, section 2.2).
    """
    s = noise_sd**2
    previous = s if previous_noise_sd is None else previous_noise_sd**2
    return (b * revision_variance - s) / (revision_variance + s + previous)


def without_noise_in_x(frame: pd.DataFrame, estimator: Estimator, noise_sd: float) -> Estimate:
    """Slope divided by the reliability of ``x``: ``S_xy / (S_xx - s^2)``.

    Parameters
    ----------
    frame : DataFrame
        The estimator's columns, with ``x`` holding independent noise.
    estimator : function
        `implied_persistence` or `error_on_level`.
    noise_sd : float
        Known standard deviation s of that noise, in units of ``x``.

    Raises
    ------
    InvalidValueError
        `error_revision`, in which ``x`` does not appear, or a negative ``noise_sd``.
    NotDefinedError
        More noise than variance.
    """
    name = getattr(estimator, "__name__", str(estimator))
    if name not in ("implied_persistence", "error_on_level"):
        raise InvalidValueError(
            "implied_persistence or error_on_level", name, "correct the noise that it does have"
        )
    return _corrected(frame, name, 0.0, _variance(noise_sd), f"noise sd {noise_sd:g} in x removed")


def without_noise_in_forecast(
    frame: pd.DataFrame, noise_sd: float, previous_noise_sd: float | None = None
) -> Estimate:
    """`error_revision` without the noise of forecasts: ``(S_xy + s^2) / (S_xx - s^2 - s_0^2)``.

    x is the revision and y the error. The standard deviation s is known from repeated draws of one
    forecast (zero for greedy decoding); that of the previous forecast is the same unless given.

    Raises
    ------
    InvalidValueError
        A negative standard deviation, or as `error_revision`.
    NotDefinedError
        Revisions that are no larger than their noise.
    """
    s = _variance(noise_sd)
    previous = s if previous_noise_sd is None else _variance(previous_noise_sd)
    kind = f"noise sd {noise_sd:g} in forecasts removed"
    return _corrected(frame, "error_revision", -s, s + previous, kind)


def _corrected(
    frame: pd.DataFrame, name: str, covariance: float, variance: float, kind: str
) -> Estimate:
    """Method of moments, its error from the influence of each series.

    ``psi_g = sum_t [(x y - c) - b (x^2 - v)] / [sum x^2 - n v]``, x and y in deviations.
    """
    y, x = variables(name, frame)
    y, x, n = y - y.mean(), x - x.mean(), len(x)
    denominator = x @ x - n * variance
    if denominator <= 1e-9 * (x @ x):
        raise NotDefinedError(
            "a regressor with more variance than its noise",
            f"variance {x @ x / n:.3g} and noise {variance:.3g}",
            "draw more samples for each forecast and average them",
        )
    value = (x @ y - n * covariance) / denominator
    groups = pd.factorize(frame["series"])[0]
    clusters = groups.max() + 1
    if clusters < 2:
        raise InvalidValueError("at least two series", "one", "evaluate more series")
    scores = (x * y - covariance) - value * (x**2 - variance)
    influence = np.bincount(groups, scores) / denominator
    factor = clusters / (clusters - 1) * (n - 1) / (n - 2)
    se = float(np.sqrt(factor * (influence @ influence)))
    method = f"moments, {kind}, cluster by series, t({clusters - 1})"
    interval = t_interval(value, se, clusters - 1)
    return Estimate(name, float(value), se, *interval, n, clusters, method, clusters - 1.0)


def _variance(noise_sd: float) -> float:
    if not noise_sd >= 0:
        raise InvalidValueError(
            "a standard deviation of noise of 0 or more", f"{noise_sd}", "estimate it from draws"
        )
    return noise_sd**2
