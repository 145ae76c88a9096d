"""Sign and scale maps: exact on integers, and a gap that only equivariance closes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import InvalidValueError
from lib.forecasting.forecasters import extrapolative, misperceived
from lib.forecasting.frames import ar1_items, shown
from lib.forecasting.learners import bayes, full_information, least_squares
from lib.forecasting.transfer import affine, equivariance_gap

EQUIVARIANT = {
    "full information": full_information,
    "bayes": bayes,
    "least squares": least_squares,
    "shown": lambda frame: least_squares(frame, data="shown"),
    "humans": misperceived,
    "extrapolative": extrapolative,
}


@pytest.fixture(scope="module")
def frame():
    return ar1_items([0.0, 0.6], 20, 4, 12, 4.0, low=51, high=149, seed=3)


@pytest.mark.parametrize("factor", [-1.0, 2.0])
def test_every_number_moves_and_the_inverse_map_brings_it_back(frame, factor):
    moved = affine(frame, factor)
    assert np.array_equal(shown(moved), 100 + factor * (shown(frame) - 100))
    assert np.array_equal(moved["x"], shown(moved)[:, -1])
    assert np.array_equal(moved["outcome"] - 100, factor * (frame["outcome"] - 100))
    assert (moved["sigma"] == abs(factor) * frame["sigma"]).all()
    assert moved["history"].map(lambda h: all(type(v) is int for v in h)).all()
    back = affine(moved, 1 / factor).drop(columns=["factor", "centre"])
    pd.testing.assert_frame_equal(back, frame, check_dtype=False)


def test_forecasts_do_not_travel(frame):
    assert "forecast" not in affine(full_information(frame), -1.0)


def test_numbers_that_would_need_rounding_or_clipping_are_refused(frame):
    for factor in (0.5, 12.0):
        with pytest.raises(InvalidValueError, match="narrower scale"):
            affine(frame, factor)


@pytest.mark.parametrize("name", EQUIVARIANT)
@pytest.mark.parametrize("factor", [-1.0, 2.0])
def test_rational_forecasters_have_no_gap(frame, name, factor):
    rule = EQUIVARIANT[name]
    gap = equivariance_gap(rule(frame), rule(affine(frame, factor)))["gap"]
    assert np.allclose(gap, 0, atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(level=st.floats(0, 199), weight=st.floats(0.05, 1))
def test_a_pull_towards_a_level_has_the_gap_of_the_formula(level, weight):
    frame = ar1_items([0.6], 4, 3, 12, 4.0, low=51, high=149, seed=4)

    def pulled(items):
        rational = full_information(items)
        return rational.assign(forecast=(1 - weight) * rational["forecast"] + weight * level)

    for factor in (-1.0, 2.0):
        gap = equivariance_gap(pulled(frame), pulled(affine(frame, factor)))["gap"]
        # w (L - 100) is added to both; mapped back it is divided by the factor.
        assert np.allclose(gap, weight * (level - 100) * (1 / factor - 1), atol=1e-8)


def test_order_of_rows_does_not_matter_and_the_index_is_kept(frame):
    rule = EQUIVARIANT["shown"]
    one = rule(frame).sample(frac=1, random_state=1)
    two = affine(frame, -1.0).sample(frac=1, random_state=2).assign(forecast=100.0)
    gap = equivariance_gap(one, two)
    assert gap.index.equals(one.index)
    assert np.allclose(gap["gap"], 100 - one["forecast"])


def test_other_items_are_refused(frame):
    filled, moved = full_information(frame), full_information(affine(frame, -1.0))
    with pytest.raises(InvalidValueError, match="same items"):
        equivariance_gap(filled.iloc[1:], moved)
    with pytest.raises(InvalidValueError, match="same items"):
        equivariance_gap(filled, moved.assign(x=moved["x"] + 1))
