"""Item frames: windows, outcomes, truncation, scales of real series, and no look-ahead."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import InvalidValueError
from lib.forecasting.frames import (
    ar1_items,
    horizon_of,
    panel_items,
    panel_values,
    shown,
    to_units,
    window_items,
)
from lib.forecasting.learners import least_squares, least_squares_real


@pytest.fixture(scope="module")
def frame():
    return ar1_items([0.0, 0.6, 1.0], series=20, rounds=8, history=12, sigma=8.0, seed=3)


def test_shape_and_columns(frame):
    assert len(frame) == 3 * 20 * 8
    assert frame.groupby("series").size().eq(8).all()
    assert frame["series"].nunique() == 60
    assert set(frame["history"].map(len)) == {12} == set(frame["previous_history"].map(len))
    assert frame["history"].map(lambda h: all(type(v) is int for v in h)).all()


def test_windows_move_by_one_and_end_in_x(frame):
    history, previous = shown(frame), shown(frame, "previous_history")
    assert np.array_equal(history[:, -1], frame["x"])
    assert np.array_equal(history[:, :-1], previous[:, 1:])
    later = frame["series"].eq(frame["series"].shift(-1))
    assert (frame["outcome"][later] == frame["x"].shift(-1)[later]).all()


def test_values_stay_on_the_display_scale(frame):
    assert shown(frame).min() >= 0 and shown(frame).max() <= 199
    assert frame["outcome"].between(0, 199).all()
    assert frame.groupby("rho")["rejected"].nunique().eq(1).all()


def test_rejection_is_reported_and_rises_with_sigma():
    wide = ar1_items([1.0], 200, 8, 12, sigma=20.0, seed=1)
    usual = ar1_items([1.0], 200, 8, 12, sigma=8.0, seed=1)
    assert 0.2 < wide["rejected"][0] < 0.9
    assert usual["rejected"][0] < 0.03


def test_a_scale_that_nothing_fits_is_refused():
    with pytest.raises(InvalidValueError, match="widen the display scale"):
        ar1_items([1.0], 10, 8, 12, sigma=500.0, seed=1)


def test_seeds_and_rhos_share_no_draws():
    one = ar1_items([0.0, 0.2], 5, 8, 12, 8.0, seed=1)
    two = ar1_items([0.0, 0.2], 5, 8, 12, 8.0, seed=2)
    assert not set(one["series"]) & set(two["series"])
    assert not np.array_equal(one["x"], two["x"])
    low, high = (one.loc[one["rho"] == r, "x"].to_numpy() for r in (0.0, 0.2))
    assert abs(np.corrcoef(low, high)[0, 1]) < 0.5
    pd.testing.assert_frame_equal(one, ar1_items([0.0, 0.2], 5, 8, 12, 8.0, seed=1))


def test_a_longer_horizon_looks_further_ahead():
    frame = ar1_items([0.5], 4, 6, 10, 8.0, horizon=3, seed=1)
    values, _ = panel_values(frame)
    assert horizon_of(frame) == 3 and len(frame) == 24
    first = frame[frame["series"] == frame["series"][0]]
    inside = first["t"] + 3 < values.shape[1]
    assert np.array_equal(first["outcome"][inside], values[0, first["t"][inside] + 3])


def test_panel_is_put_together_again_from_windows():
    values = np.arange(45).reshape(3, 15) ** 2
    frame = panel_items(values, 5, ["a", "b", "c"])
    back, row = panel_values(frame.sample(frac=1, random_state=0))
    order = [values[:, 0].tolist().index(b[0]) for b in back]
    assert np.array_equal(back, values[order, :14])  # the last value is only ever an outcome
    assert len(row) == len(frame) == 3 * 9


def test_a_panel_without_its_beginning_is_refused(frame):
    with pytest.raises(InvalidValueError, match="keep all rounds"):
        panel_values(frame[frame["t"] > 14])


def test_windows_survive_parquet(frame, tmp_path):
    frame.to_parquet(tmp_path / "items.parquet")
    back = pd.read_parquet(tmp_path / "items.parquet")
    assert np.array_equal(shown(back), shown(frame))
    assert np.array_equal(panel_values(back)[0], panel_values(frame)[0])


def test_duplicate_ids_short_panels_and_mixed_horizons_are_refused(frame):
    with pytest.raises(InvalidValueError):
        panel_items(np.zeros((2, 20)), 5, ["a", "a"])
    with pytest.raises(InvalidValueError):
        panel_items(np.zeros((1, 6)), 5, ["a"])
    with pytest.raises(InvalidValueError, match="one horizon"):
        horizon_of(pd.concat([frame, frame.assign(horizon=2)]))


# Real series.


def series(values):
    return pd.Series(values, index=pd.period_range("2000-01", periods=len(values), freq="M"))


@pytest.fixture(scope="module")
def walk():
    return series(np.random.default_rng(0).normal(size=120).cumsum() + 5)


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(60, 118), jump=st.floats(-50, 50))
def test_no_future_value_changes_what_is_shown(cut, jump):
    values = series(np.random.default_rng(0).normal(size=120))
    other = values.copy()
    other.iloc[cut + 1 :] += jump
    one, two = (window_items(v, 12) for v in (values, other))
    known = one["t"] <= cut
    same = ["x", "history", "previous_history", "location", "scale", "x_raw"]
    pd.testing.assert_frame_equal(one.loc[known, same], two.loc[known, same], check_exact=True)


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(60, 115), jump=st.floats(-50, 50))
def test_no_future_value_changes_what_a_learner_says(cut, jump):
    values = series(np.random.default_rng(1).normal(size=120))
    other = values.copy()
    other.iloc[cut + 1 :] += jump
    one, two = (least_squares_real(window_items(v, 12), v) for v in (values, other))
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
    assert np.allclose(back["forecast"], frame["outcome_raw"])
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
    frame = least_squares_real(window_items(walk, 12), walk)
    t = 77
    x = walk.to_numpy()[: t + 1]
    slope, intercept = np.polyfit(x[:-1], x[1:], 1)
    back = to_units(frame).set_index("t").loc[t]
    assert back["forecast"] == pytest.approx(intercept + slope * x[-1], rel=1e-9)


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
