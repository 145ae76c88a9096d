"""Item frames: windows, outcomes, truncation, and no look-ahead."""

import numpy as np
import pandas as pd
import pytest

from lib.errors import InvalidValueError
from lib.forecasting.frames import ar1_items, horizon_of, panel_items, panel_values, shown


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
