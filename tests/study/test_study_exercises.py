"""Guesses of any type get an answer."""

import numpy as np
import pandas as pd
import pytest

from lib.study.exercises import near


@pytest.mark.parametrize("guess", [0.5, np.float32(0.5), 0.5000001])
def test_a_number_near_the_answer_is_right(guess):
    assert near(guess, 0.5, 1e-6) is True


@pytest.mark.parametrize("guess", [0.51, "zero", "0.5", None, [0.5], 0.5j, float("nan"),
                                   np.array([0.5, 0.5]), pd.Series([0.5])])
def test_everything_else_is_wrong_and_none_raises(guess):
    assert near(guess, 0.5, 1e-6) is False
