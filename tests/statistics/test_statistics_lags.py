"""Lag profiles and decays of forecasters whose weights are known."""

import numpy as np
import pytest
from estimator_frames import ar1_frame, market_frame
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares as scipy_least_squares

from lib.errors import InvalidValueError
from lib.forecasting.forecasters import adaptive, add_noise, extrapolative, misperceived
from lib.statistics.lags import (
    decay_curve,
    decay_weights,
    lag_coefficients,
    lag_matrix,
    profile_decay,
)
from lib.statistics.regressions import NotDefinedError


@pytest.fixture(scope="module")
def items():
    return ar1_frame(0.5, series=60, rounds=6, history=14, seed=1)


def test_lag_profiles_of_exact_forecasters_are_exact(items):
    profile = [e.value for e in lag_coefficients(misperceived(items, 0.7), 6)]
    assert profile == pytest.approx([0.7, 0, 0, 0, 0, 0], abs=1e-10)
    profile = [e.value for e in lag_coefficients(extrapolative(items, 0.4), 4)]
    assert profile == pytest.approx([1.4, -0.4, 0, 0], abs=1e-10)
    profile = [e.value for e in lag_coefficients(adaptive(items, 0.5), 14)]
    assert profile[:13] == pytest.approx(0.5 ** np.arange(1, 14), abs=1e-9)


def test_profiles_with_noise_cover_the_truth(items):
    clean, covered = adaptive(items, 0.5), []
    for seed in range(25):
        found = lag_coefficients(add_noise(clean, 4.0, seed=seed), 12)
        covered += [e.covers(0.5**k) for k, e in enumerate(found, start=1)]
    assert 0.90 < np.mean(covered) < 0.98
    assert {(e.n, e.clusters, e.df) for e in found} == {(360, 60, 59)}


@pytest.mark.parametrize("delta", [0.0, 0.3, 0.6])
def test_adaptive_expectations_decay_at_their_delta(items, delta):
    """``(1 - d) sum_j d^j x_{t-j}``: level 1 - d^12 where the start is not in the lags."""
    weights, _ = decay_curve(delta, 12)
    frame = items.assign(forecast=3.0 + 0.8 * lag_matrix(items, 12) @ weights)
    level, rate = decay_weights(frame)
    assert [level.value, rate.value] == pytest.approx([0.8, delta], abs=1e-8)
    assert (level.name, rate.name) == ("decay_level", "decay_rate")


def test_estimates_equal_those_of_a_general_optimiser():
    frame = market_frame(seed=4, months=30, stocks=10)
    x, y = lag_matrix(frame, 12), frame["forecast"].to_numpy()

    def residual(theta):
        weights = theta[2] ** np.arange(12)
        return theta[0] + theta[1] * x @ weights / weights.sum() - y

    fit = scipy_least_squares(residual, [0.0, 0.5, 0.5], xtol=1e-14, ftol=1e-14, gtol=1e-14)
    level, rate = decay_weights(frame, cluster="month")
    assert [level.value, rate.value] == pytest.approx(fit.x[1:], rel=1e-6)
    assert "nonlinear, cluster by month" in rate.method


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.85, 1.15), st.integers(2, 15))
def test_weights_sum_to_one_and_their_derivatives_are_right(rate, lags):
    weights, slopes = decay_curve(rate, lags)
    assert weights.sum() == pytest.approx(1.0)
    h = 1e-6
    numeric = (decay_curve(rate + h, lags)[0] - decay_curve(rate - h, lags)[0]) / (2 * h)
    assert slopes == pytest.approx(numeric, rel=1e-4, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 100), st.floats(-500, 500))
def test_the_decay_has_no_units(scale, shift):
    frame = market_frame(seed=5, months=12, stocks=8)
    moved = frame.assign(
        forecast=scale * frame["forecast"] + shift,
        history=[[scale * v + shift for v in h] for h in frame["history"]],
    )
    one, two = (decay_weights(f, cluster="month") for f in (frame, moved))
    for a, b in zip(one, two, strict=True):
        assert [b.value, b.se] == pytest.approx([a.value, a.se], rel=1e-4)


def test_many_profiles_at_once_are_the_profiles_one_by_one():
    frames = [market_frame(seed=k, months=12, stocks=10, decay=0.1 * k) for k in range(4)]
    moments, cross = [], []
    for frame in frames:
        x = lag_matrix(frame, 12)
        x = x - x.mean(axis=0)
        moments.append(x.T @ x)
        cross.append(x.T @ frame["forecast"].to_numpy())
    together = profile_decay(np.array(moments), np.array(cross))
    alone = [float(profile_decay(m, c)) for m, c in zip(moments, cross, strict=True)]
    assert together == pytest.approx(alone)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.assign(forecast=1.0), "never vary"),
        (lambda f: f.assign(forecast=[h[0] for h in f["history"]]), "best lambda"),
    ],
)
def test_decays_that_do_not_exist_are_not_defined(spoil, message):
    with pytest.raises(NotDefinedError, match=message):
        decay_weights(spoil(market_frame(seed=6, months=12, stocks=8)), cluster="month")


@pytest.mark.parametrize(
    ("lags", "spoil", "message"),
    [
        (15, lambda f: f, "lower `lags`"),
        (0, lambda f: f, "1 or more"),
        (3, lambda f: f.drop(columns="history"), "no column history"),
        (3, lambda f: f.assign(history=[[np.nan] * 14] * len(f)), "finite numbers in history"),
        (3, lambda f: f.assign(history=[[1.0] * 14] * len(f)), "directions"),
        (3, lambda f: f.assign(series="one"), "two values of series"),
    ],
)
def test_bad_frames_are_refused(items, lags, spoil, message):
    with pytest.raises(InvalidValueError, match=message):
        lag_coefficients(spoil(misperceived(items, 0.7)), lags)
