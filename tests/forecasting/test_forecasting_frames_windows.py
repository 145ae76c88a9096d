"""Real series on the display scale: past only, and back again."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import InvalidValueError
from lib.forecasting.frames import shown, to_units, window_items
from lib.forecasting.learners import least_squares, least_squares_real


def series(values):
    return pd.Series(values, index=pd.period_range("2000-01", periods=len(values), freq="M"))


@pytest.fixture(scope="module")
def walk():
    return series(np.random.default_rng(0).normal(size=120).cumsum() + 5)


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(60, 118), jump=st.floats(-50, 50), window=st.sampled_from([None, 30]))
def test_no_future_value_changes_what_is_shown(cut, jump, window):
    values = series(np.random.default_rng(0).normal(size=120))
    other = values.copy()
    other.iloc[cut + 1 :] += jump
    one, two = (window_items(v, 12, window=window) for v in (values, other))
    known = one["t"] <= cut
    same = ["x", "history", "previous_history", "location", "scale", "x_raw"]
    pd.testing.assert_frame_equal(one.loc[known, same], two.loc[known, same], check_exact=True)


@settings(max_examples=20, deadline=None)
@given(
    cut=st.integers(60, 115), jump=st.floats(-50, 50), window=st.sampled_from([None, 30]),
    lags=st.integers(1, 3), horizon=st.integers(1, 3),
)  # fmt: skip
def test_no_future_value_changes_what_a_learner_says(cut, jump, window, lags, horizon):
    values = series(np.random.default_rng(1).normal(size=120))
    other = values.copy()
    other.iloc[cut + 1 :] += jump
    one, two = (
        least_squares_real(window_items(v, 12, horizon=horizon), v, lags=lags, window=window)
        for v in (values, other)
    )
    past, said = one["t"] <= cut, ["forecast", "previous_forecast"]
    pd.testing.assert_frame_equal(one.loc[past, said], two.loc[past, said], check_exact=True)


def test_both_windows_of_a_row_use_the_scale_of_the_earlier_period(walk):
    frame = window_items(walk, 12)
    i, t = 30, int(frame["t"][30])
    past = walk.to_numpy()[:t]
    expected = 100 + 12 * (walk.to_numpy()[t - 11 : t + 1] - past.mean()) / past.std(ddof=1)
    assert np.array_equal(frame["history"][i], np.rint(expected))
    assert frame["history"][i][:-1] == frame["previous_history"][i][1:]


def test_forecasts_map_back_to_source_units(walk):
    frame = window_items(walk, 12)
    filled = frame.assign(forecast=frame["outcome"], previous_forecast=100.0)
    back = to_units(filled)
    assert np.allclose(back["forecast"], frame["outcome_raw"], atol=1e-9)
    assert np.allclose(back["outcome"], walk.to_numpy()[frame["t"] + 1])
    assert np.array_equal(back["x"], walk.to_numpy()[frame["t"]])
    past = [walk.to_numpy()[:t].mean() for t in frame["t"]]
    assert np.allclose(back["previous_forecast"], past)


def test_shown_values_are_within_half_a_unit_of_the_truth(walk):
    frame = window_items(walk, 12)
    exact = (frame["x_raw"] - frame["location"]) / frame["scale"]
    assert not frame["clipped"].any()
    assert (exact - frame["x"]).abs().max() <= 0.5 + 1e-9


def test_a_crash_is_clipped_and_flagged(walk):
    crash = walk.copy()
    crash.iloc[100] = -1e4
    frame = window_items(crash, 12)
    assert shown(frame).min() == 0
    assert frame["clipped"].any() and not frame.loc[frame["t"] < 100, "clipped"].any()


def test_learning_on_the_real_scale_equals_learning_in_units(walk):
    frame = least_squares_real(window_items(walk, 12), walk, lags=1)
    t = 77
    x = walk.to_numpy()[: t + 1]
    slope, intercept = np.polyfit(x[:-1], x[1:], 1)
    back = to_units(frame).set_index("t").loc[t]
    assert back["forecast"] == pytest.approx(intercept + slope * x[-1], abs=1e-8)


def test_learners_of_the_whole_past_refuse_a_moving_scale(walk):
    with pytest.raises(InvalidValueError, match="what is shown only"):
        least_squares(window_items(walk, 12))
    assert least_squares(window_items(walk, 12), data="shown")["forecast"].notna().all()


@pytest.mark.parametrize(
    "values", [series([1.0] * 120), series(np.arange(30.0)), series([np.nan, *range(119)])]
)
def test_series_that_cannot_be_shown_are_refused(values):
    with pytest.raises(InvalidValueError):
        window_items(values, 12)
