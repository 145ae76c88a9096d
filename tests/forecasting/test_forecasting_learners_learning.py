"""Least-squares learners against statsmodels, one regression at a time."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.forecasting.learners import least_squares_path, least_squares_shown
from lib.forecasting.processes import ar1


def by_hand(x, lags, h, iterate=False, weights=None):
    """Forecast from statsmodels on the values ``x`` alone."""
    ahead = 1 if iterate else h
    rows = range(lags - 1, len(x) - ahead)
    design = sm.add_constant(
        np.array([[x[s - k] for k in range(lags)] for s in rows]), has_constant="add"
    )
    target = np.array([x[s + ahead] for s in rows])
    weights = np.ones(len(target)) if weights is None else weights[-len(target) :]
    beta = sm.WLS(target, design, weights=weights).fit().params
    state = list(x[::-1][:lags])
    for _ in range(h if iterate else 1):
        state = [beta[0] + beta[1:] @ state, *state[:-1]]
    return state[0]


@pytest.mark.parametrize("iterate", [False, True])
@pytest.mark.parametrize("lags", [1, 2, 4])
@pytest.mark.parametrize("h", [1, 2, 5])
def test_expanding_learner_equals_statsmodels(lags, h, iterate):
    values = ar1(0.7, 3, 60, 8.0, 100.0, seed=1)
    path = least_squares_path(values, h, lags, iterate=iterate)
    for i, t in ((0, 20), (1, 41), (2, 59)):
        expected = by_hand(values[i, : t + 1], lags, h, iterate)
        assert path[i, t] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("lags", "h"), [(1, 1), (3, 2)])
def test_rolling_learner_equals_the_learner_of_that_window(lags, h):
    values = ar1(0.5, 2, 60, 8.0, 100.0, seed=2)
    path = least_squares_path(values, h, lags, window=20)
    assert np.isnan(path[:, :19]).all() and np.isfinite(path[:, 19:]).all()
    for t in (19, 20, 33, 59):
        expected = by_hand(values[1, t - 19 : t + 1], lags, h)
        assert path[1, t] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("lags", "h", "iterate"), [(1, 1, False), (2, 2, False), (2, 3, True)])
def test_learner_of_what_is_shown_equals_statsmodels(lags, h, iterate):
    windows = np.rint(ar1(0.6, 5, 12, 8.0, 100.0, seed=3))
    ours = least_squares_shown(windows, h, lags, iterate)
    assert np.allclose(ours, [by_hand(w, lags, h, iterate) for w in windows], atol=1e-8)
    assert np.allclose(ours, least_squares_path(windows, h, lags, iterate=iterate)[:, -1])


def test_constant_gain_is_weighted_least_squares():
    windows = ar1(0.6, 4, 12, 8.0, 100.0, seed=4)
    weights = 0.9 ** np.arange(20)[::-1]
    expected = [by_hand(w, 1, 1, weights=weights) for w in windows]
    assert np.allclose(least_squares_shown(windows, 1, discount=0.9), expected, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(
    cut=st.integers(0, 38),
    future=st.floats(-1e6, 1e6),
    lags=st.integers(1, 4),
    h=st.integers(1, 3),
    window=st.sampled_from([None, 15]),
    iterate=st.booleans(),
)
def test_no_future_value_can_change_a_past_forecast(cut, future, lags, h, window, iterate):
    values = ar1(0.5, 2, 40, 8.0, 100.0, seed=5)
    changed = values.copy()
    changed[:, cut + 1 :] = future
    one, two = (least_squares_path(v, h, lags, window, iterate) for v in (values, changed))
    assert np.array_equal(one[:, : cut + 1], two[:, : cut + 1], equal_nan=True)


@settings(max_examples=40, deadline=None)
@given(scale=st.floats(0.05, 50), sign=st.sampled_from([-1, 1]), shift=st.floats(-500, 500))
def test_learner_is_equivariant_to_scale_sign_and_shift(scale, sign, shift):
    windows = ar1(0.5, 6, 15, 8.0, 100.0, seed=6)
    moved = least_squares_shown(shift + sign * scale * windows, 2, lags=2)
    assert np.allclose(moved, shift + sign * scale * least_squares_shown(windows, 2, lags=2))


def test_a_constant_series_is_forecast_to_stay():
    assert np.allclose(least_squares_shown(np.full((2, 12), 42.0), 1, lags=3), 42.0)
    path = least_squares_path(np.full((1, 20), 42.0), 2, lags=2)
    assert np.allclose(path[0, 10:], 42.0)


def test_too_few_pairs_give_no_forecast():
    path = least_squares_path(ar1(0.5, 1, 12, 1.0, seed=0), 1, lags=4)
    assert np.isnan(path[0, :8]).all() and np.isfinite(path[0, 8:]).all()
    assert np.isnan(least_squares_shown(np.arange(8.0)[None], 1, lags=4)).all()
