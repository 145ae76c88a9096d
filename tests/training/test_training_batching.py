"""Batches: every example once a pass, like lengths together, labels and packed rows by hand."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InvalidValueError
from lib.models.chat import Tokens
from lib.training.batching import batch_plan, collate, pack, split


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 5))
def test_each_pass_sees_each_example_once(lengths, size, seed):
    steps = -(-len(lengths) // size)
    seen = Counter(i for b in batch_plan(lengths, size, 2 * steps, seed) for i in b)
    assert seen == {i: 2 for i in range(len(lengths))}


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 9))
def test_batches_cut_the_sorted_lengths(lengths, size):
    """No two batches of a pass overlap in length by more than a shared end point."""
    steps = -(-len(lengths) // size)
    spans = sorted(
        (min(lengths[i] for i in b), max(lengths[i] for i in b))
        for b in batch_plan(lengths, size, steps, 0)
    )
    assert all(left[1] <= right[0] for left, right in zip(spans, spans[1:], strict=False))


def test_plan_has_the_steps_asked_for_and_follows_the_seed():
    lengths = [3, 5, 4] * 10
    assert len(batch_plan(lengths, 8, 7, 0)) == 7
    assert batch_plan(lengths, 8, 7, 0) == batch_plan(lengths, 8, 7, 0)
    assert batch_plan(lengths, 8, 7, 0) != batch_plan(lengths, 8, 7, 1)


def test_labels_cover_answers_only_and_their_ends_even_if_those_look_like_padding():
    batch = collate([Tokens([5, 6], [7, 0]), Tokens([8], [9, 1, 2, 0])])
    assert batch["input_ids"].tolist() == [[5, 6, 7, 0, 0], [8, 9, 1, 2, 0]]
    assert batch["labels"].tolist() == [[-100, -100, 7, 0, -100], [-100, 9, 1, 2, 0]]


def test_a_packed_row_begins_anew_with_each_example():
    inputs, speaking = pack([Tokens([5, 6], [7]), Tokens([8], [9, 1, 2])])
    assert inputs["input_ids"].tolist() == [[5, 6, 7, 8, 9, 1, 2]]
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2, 3]]
    assert speaking.tolist() == [1, 3, 4, 5]


@given(st.lists(st.integers(4, 9), min_size=1, max_size=9), st.integers(1, 4))
def test_parts_of_a_step_are_its_examples_in_order(sizes, parts):
    batches = [list(range(10 * i, 10 * i + n)) for i, n in enumerate(sizes)]
    pieces = split(batches, parts)
    assert len(pieces) == parts * len(batches)
    for i, batch in enumerate(batches):
        step = pieces[i * parts : (i + 1) * parts]
        assert sum(step, []) == batch
        assert max(map(len, step)) - min(map(len, step)) <= 1


def test_a_step_smaller_than_its_parts_is_refused():
    """Ten examples in steps of eight leave two for the last, which cannot be cut in four."""
    with pytest.raises(InvalidValueError, match="at least 4 .* Found a step of 2"):
        split(batch_plan([3] * 10, 8, 2, 0), 4)
