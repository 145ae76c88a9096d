"""Benchmarks against closed forms, brute-force posteriors, statsmodels and their own optimality."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.tsa.statespace.sarimax import SARIMAX

from lib.errors import InvalidValueError
from lib.forecasting import learners as b
from lib.forecasting.bayes import ar1_path, ar2_path, ma1_path
from lib.forecasting.frames import ar1_items, panel_items, shown
from lib.forecasting.learners import least_squares_path, least_squares_shown
from lib.forecasting.processes import ar1, ar2, ma1

GRID = b.TRAINING_GRID
FORECASTS = ["forecast", "previous_forecast"]
RULES = {
    "full_information": b.full_information,
    "bayes": b.bayes,
    "least squares, past": b.least_squares,
    "least squares, 2 lags": partial(b.least_squares, lags=2),
    "least squares, shown": partial(b.least_squares, data="shown"),
}
PATHS = RULES | {
    "ar2": partial(b.along, path=partial(ar2_path, phi1=0.5, phi2=0.2, mu=100.0)),
    "ma1": partial(b.along, path=partial(ma1_path, theta=0.5, mu=100.0)),
}


@pytest.fixture(scope="module")
def frame():
    return ar1_items(GRID, series=40, rounds=8, history=12, sigma=8.0, seed=7)


@pytest.mark.parametrize("horizon", [1, 3])
def test_full_information_is_the_closed_form(horizon):
    frame = b.full_information(ar1_items([0.6], 5, 4, 12, 8.0, horizon=horizon, seed=1))
    row = frame.iloc[2]
    now, before = row["history"][-1], row["history"][-2]
    assert row["forecast"] == pytest.approx(100 + 0.6**horizon * (now - 100))
    assert row["previous_forecast"] == pytest.approx(100 + 0.6 ** (horizon + 1) * (before - 100))
    path = b.along(frame, partial(ar1_path, rho=0.6, mu=100))
    assert np.allclose(path[FORECASTS], frame[FORECASTS])


def test_another_process_has_its_path():
    values = ma1(0.8, 6, 30, 8.0, 100.0, seed=1)
    path = partial(ma1_path, theta=0.8, mu=100.0)
    frame = b.along(panel_items(values, 10, list("abcdef")), path)
    assert np.allclose(frame["forecast"], path(values, 1)[:, 10:29].ravel())
    assert (frame["previous_forecast"] == 100).all()
    with pytest.raises(InvalidValueError, match="path"):
        b.full_information(frame)


KNOWN = {
    "ar1": (partial(ar1_path, rho=0.7), (1, 0, 0), [0.7, 64.0]),
    "ar2": (partial(ar2_path, phi1=1.2, phi2=-0.5), (2, 0, 0), [1.2, -0.5, 64.0]),
    "ma1": (partial(ma1_path, theta=0.6), (0, 0, 1), [0.6, 64.0]),
}


@pytest.mark.parametrize("horizon", [1, 2])
@pytest.mark.parametrize("name", KNOWN)
def test_both_forecasts_of_every_item_are_those_of_statsmodels(name, horizon):
    path, order, params = KNOWN[name]
    values = ar2(0.5, 0.2, 3, 18, 8.0, seed=4)
    frame = b.along(panel_items(values, 10, list("abc"), horizon), path)
    for i in (0, 7, len(frame) - 1):
        series, t = frame.loc[i, ["series", "t"]]
        x = values["abc".index(series)]
        for column, end, ahead in (
            ("forecast", t, horizon), ("previous_forecast", t - 1, horizon + 1)
        ):
            fit = SARIMAX(x[: end + 1], order=order).smooth(np.array(params))
            assert frame[column][i] == pytest.approx(fit.forecast(ahead)[-1], rel=1e-9)


def test_expanding_least_squares_equals_statsmodels_on_that_past(frame):
    filled = b.least_squares(frame)
    values = ar1_values(frame, "previous_history", filled.loc[100, "series"])
    row = filled.loc[100]
    for t, ahead, found in ((row["t"], 1, row["forecast"]),
                            (row["t"] - 1, 2, row["previous_forecast"])):
        x = values[: t + 1]
        fit = sm.OLS(x[ahead:], sm.add_constant(x[:-ahead])).fit()
        assert found == pytest.approx(fit.params @ [1, x[-1]], rel=1e-9)


def ar1_values(frame, column, series):
    rows = frame[frame["series"] == series]
    return np.array([*rows[column].iloc[0], *rows["x"]], dtype=float)


def test_posterior_equals_a_product_of_normal_densities(frame):
    windows = shown(frame)[::97]
    mu, sigma = np.full(len(windows), 100.0), np.full(len(windows), 8.0)
    prior = np.arange(1, 7)
    weights = b.posterior(windows, GRID, prior, mu, sigma)
    for w, found in zip(windows, weights, strict=True):
        density = [
            stats.norm.pdf(w[1:], 100 + r * (w[:-1] - 100), 8.0).prod() * p
            for r, p in zip(GRID, prior, strict=True)
        ]
        assert np.allclose(found, np.array(density) / sum(density), atol=1e-10)


def test_a_prior_on_one_rho_is_full_information(frame):
    prior = [0, 0, 1, 0, 0, 0]
    cell = frame[frame["rho"] == 0.4]
    assert np.allclose(b.bayes(cell, GRID, prior)[FORECASTS], b.full_information(cell)[FORECASTS])
    with pytest.raises(InvalidValueError, match="prior"):
        b.bayes(cell, GRID, [0.5, 0.5])


def mse(frame):
    return float(((frame["outcome"] - frame["forecast"]) ** 2).mean())


def test_knowing_more_never_hurts_and_bayes_is_best_of_what_is_shown():
    frame = ar1_items(GRID, series=400, rounds=8, history=12, sigma=8.0, seed=11)
    error = {name: mse(rule(frame)) for name, rule in RULES.items()}
    assert error["full_information"] < error["bayes"] < error["least squares, shown"]
    assert error["bayes"] / error["full_information"] < 1.08  # 12 numbers shown
    assert error["full_information"] == pytest.approx(64, rel=0.03)


def test_bayes_revisions_are_unforecastable_over_the_prior_not_within_a_cell():
    frame = b.bayes(ar1_items(GRID, series=400, rounds=8, history=12, sigma=8.0, seed=12))
    error = frame["outcome"] - frame["forecast"]
    revision = frame["forecast"] - frame["previous_forecast"]

    def slope(rows):
        return np.polyfit(revision[rows], error[rows], 1)[0]

    assert slope(frame["rho"] >= 0) == pytest.approx(0, abs=0.05)
    assert slope(frame["rho"] == 0) < -0.3


@pytest.mark.parametrize("rule", PATHS)
@settings(max_examples=15, deadline=None)
@given(cut=st.integers(14, 26), jump=st.integers(-60, 60))
def test_no_future_value_can_change_a_past_target(rule, cut, jump):
    values = np.rint(ar1(0.6, 4, 28, 8.0, 100.0, seed=9))
    changed = values.copy()
    changed[:, cut + 1 :] += jump
    known = {"rho": 0.6, "mu": 100.0, "sigma": 8.0}
    one, two = (
        PATHS[rule](panel_items(v, 12, list("abcd"), **known)) for v in (values, changed)
    )
    past = one["t"] <= cut
    assert past.any()
    pd.testing.assert_frame_equal(
        one.loc[past, FORECASTS], two.loc[past, FORECASTS], check_exact=True
    )


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.1, 10), sign=st.sampled_from([-1, 1]), shift=st.floats(-100, 100))
def test_benchmarks_are_equivariant_to_scale_sign_and_shift(rule, scale, sign, shift):
    values = ar1(0.6, 4, 22, 8.0, 100.0, seed=10)
    k = sign * scale
    plain = panel_items(values, 12, list("abcd"), rho=0.6, mu=100.0, sigma=8.0)
    moved = panel_items(
        shift + k * values, 12, list("abcd"), rho=0.6, mu=shift + k * 100.0, sigma=8.0 * scale
    )
    one, two = RULES[rule](plain)[FORECASTS], RULES[rule](moved)[FORECASTS]
    assert np.allclose(two, shift + k * one, rtol=1e-6, atol=1e-6)


def test_too_many_lags_for_what_is_shown_are_refused(frame):
    with pytest.raises(InvalidValueError, match="fewer lags"):
        b.least_squares(frame, lags=6, data="shown")


def test_frames_keep_their_rows_and_columns(frame):
    shuffled = frame.sample(frac=1, random_state=0)
    for rule in RULES.values():
        filled = rule(shuffled)
        assert list(filled.columns) == [*frame.columns, *FORECASTS]
        assert filled.index.equals(shuffled.index)
        assert np.allclose(filled.sort_index()[FORECASTS], rule(frame)[FORECASTS])


# Regressions, one at a time.


def by_hand(x, lags, h):
    """Forecast from statsmodels on the values ``x`` alone."""
    rows = range(lags - 1, len(x) - h)
    design = sm.add_constant(
        np.array([[x[s - k] for k in range(lags)] for s in rows]), has_constant="add"
    )
    beta = sm.OLS(np.array([x[s + h] for s in rows]), design).fit().params
    return beta[0] + beta[1:] @ x[::-1][:lags]


@pytest.mark.parametrize("lags", [1, 2, 4])
@pytest.mark.parametrize("h", [1, 2, 5])
def test_expanding_learner_equals_statsmodels(lags, h):
    values = ar1(0.7, 3, 60, 8.0, 100.0, seed=1)
    path = least_squares_path(values, h, lags)
    for i, t in ((0, 20), (1, 41), (2, 59)):
        expected = by_hand(values[i, : t + 1], lags, h)
        assert path[i, t] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("lags", "h"), [(1, 1), (2, 2), (2, 3)])
def test_learner_of_what_is_shown_equals_statsmodels(lags, h):
    windows = np.rint(ar1(0.6, 5, 12, 8.0, 100.0, seed=3))
    ours = least_squares_shown(windows, h, lags)
    assert np.allclose(ours, [by_hand(w, lags, h) for w in windows])
    assert np.allclose(ours, least_squares_path(windows, h, lags)[:, -1])


@settings(max_examples=40, deadline=None)
@given(
    cut=st.integers(0, 38),
    future=st.floats(-1e6, 1e6),
    lags=st.integers(1, 4),
    h=st.integers(1, 3),
)
def test_no_future_value_can_change_a_past_forecast(cut, future, lags, h):
    values = ar1(0.5, 2, 40, 8.0, 100.0, seed=5)
    changed = values.copy()
    changed[:, cut + 1 :] = future
    one, two = (least_squares_path(v, h, lags) for v in (values, changed))
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
