"""Cuts of sorted lengths: never dearer than any other, and where a reader would cut."""

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lib.world.training import CHUNK_COST, cuts


def cost(lengths, places):
    parts = [p for p in np.split(lengths, places) if len(p)]
    return sum(len(p) * p.max() + CHUNK_COST for p in parts)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=9))
def test_cuts_cost_no_more_than_any_other(lengths):
    lengths = np.sort(np.array(lengths))
    places = range(1, len(lengths))
    every = [c for k in range(len(lengths)) for c in combinations(places, k)]
    assert cost(lengths, cuts(lengths)) == min(cost(lengths, list(c)) for c in every)


def test_a_few_long_rows_get_a_chunk_of_their_own():
    assert cuts(np.array(30 * [20] + 2 * [85])) == [30]
    assert cuts(np.array(30 * [20] + 2 * [22])) == []
