"""The columns that every item frame shares."""

import numpy as np
import pytest

from lib.axes.items import item_frame


def test_shared_columns_come_first():
    frame = item_frame("safety", "world", ["a", "b"], ["c", "c"], refused=[0.0, 1.0])
    assert list(frame.columns) == ["axis", "benchmark", "item", "cluster", "refused"]
    assert (frame["axis"] == "safety").all() and (frame["benchmark"] == "world").all()


def test_one_row_an_item_in_the_order_given():
    frame = item_frame("x", "y", ["b", "a"], ["1", "2"], value=np.array([3.0, 4.0]))
    assert frame["item"].tolist() == ["b", "a"] and frame["value"].tolist() == [3.0, 4.0]


def test_columns_of_another_length_are_refused():
    with pytest.raises(ValueError):
        item_frame("x", "y", ["a", "b"], ["1", "2"], value=[1.0])
