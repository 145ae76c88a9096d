"""The columns that every item frame shares."""

import numpy as np
import pandas as pd
import pytest

from lib.errors import InvalidValueError
from lib.measures.axis import SHARED, Axis, item_frame


def items(_=None):
    return item_frame("other", "b", ["one", "two"], ["c", "c"], score=[0.0, 1.0])


ECHO = Axis("echo", items, lambda _, given: given, lambda _: [])


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


def test_measured_frames_name_model_and_axis(model):
    frame = ECHO.measured(model, items())
    assert list(frame.columns) == [*SHARED, "score"]
    assert set(frame["model"]) == {model.fingerprint[:12]}
    assert set(frame["axis"]) == {"echo"} and frame["score"].tolist() == [0.0, 1.0]


def test_a_frame_without_clusters_is_refused(model):
    with pytest.raises(InvalidValueError, match="no cluster.*axis echo"):
        ECHO.measured(model, items().drop(columns="cluster"))


def test_two_items_of_one_name_are_refused_within_a_benchmark_only(model):
    twice = pd.concat([items()] * 2, ignore_index=True)
    with pytest.raises(InvalidValueError, match="share a name"):
        ECHO.measured(model, twice)
    other = twice.assign(benchmark=["b", "b", "d", "d"])
    assert len(ECHO.measured(model, other)) == 4
