"""Batches: everything once, within their bounds; prompts that no model can be fed are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InvalidValueError
from lib.models import batches
from lib.models.batches import check_prompts, chunks, plan, right_pad

lengths_lists = st.lists(st.integers(1, 400), max_size=60)


@given(lengths_lists)
def test_plan_partitions_items(lengths):
    planned = plan(lengths, [1] * len(lengths))
    assert sorted(i for batch in planned for i in batch) == list(range(len(lengths)))


@given(lengths_lists, st.integers(0, 20))
def test_plan_bounds_the_spread(lengths, spread):
    for batch in plan(lengths, [1] * len(lengths), spread):
        members = np.array(lengths)[batch]
        assert members.max() - members.min() <= spread


def test_plan_bounds_tokens_with_padding():
    lengths = [100 + i % 5 for i in range(500)]
    for batch in plan(lengths, [1] * 500):
        assert len(batch) * max(lengths[i] for i in batch) <= batches.MAX_TOKENS


def test_plan_bounds_logits_but_lets_a_single_item_through():
    cost = [batches.MAX_LOGITS // 2] * 4 + [2 * batches.MAX_LOGITS]
    assert [len(batch) for batch in plan([5] * 5, cost)] == [2, 2, 1]


def test_equal_lengths_share_a_batch_at_spread_zero():
    assert [list(batch) for batch in plan([3, 4, 3, 4], [1] * 4, spread=0)] == [[0, 2], [1, 3]]


def test_right_pad_keeps_tokens_and_fills_with_zero():
    assert right_pad([[5, 6], [7]], "cpu").tolist() == [[5, 6], [7, 0]]


def test_chunks_cover_the_range_and_never_stall():
    assert [(c.start, c.stop) for c in chunks(5, 2)] == [(0, 2), (2, 4), (4, 5)]
    assert len(list(chunks(3, 0))) == 3


def test_empty_prompt_is_refused_by_position(words):
    with pytest.raises(InvalidValueError, match="position 1"):
        check_prompts(words, [[5], []])


def test_prompt_beyond_the_context_is_refused(words):
    with pytest.raises(InvalidValueError, match="at most 128 tokens"):
        check_prompts(words, [[5] * 120], extra=10)
    check_prompts(words, [[5] * 118], extra=10)
