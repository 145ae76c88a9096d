"""Steps and chunks: answers scored exactly, padding never, every row once a pass."""

import numpy as np
import pytest

from lib.world.corpus import pretraining
from lib.world.tokenizer import PAD
from lib.world.training import Rows, share, steps


@pytest.fixture(scope="module")
def blocks():
    return pretraining(120, 5, np.random.default_rng(0))


@pytest.fixture(scope="module")
def rows(blocks):
    return Rows(blocks)


def test_rows_keep_every_text_in_order(blocks, rows):
    texts = [row for b in blocks for row in b.ids.tolist()]
    assert len(rows) == len(texts)
    for i, text in enumerate(texts):
        assert rows.ids[i, : len(text)].tolist() == text
        assert (rows.ids[i, len(text) :] == PAD).all()


def test_exactly_the_answers_are_scored(blocks):
    unprompted = [b for b in blocks if not b.prompt_weight]
    rows = Rows(unprompted)
    answers = [a for b in unprompted for a in b.answers()]
    which = np.random.default_rng(1).permutation(len(rows))[:40]
    ids, scored, _ = rows.chunk(which)
    place, column = np.divmod(scored.numpy(), ids.shape[1])
    target = ids.flatten()[scored + 1].numpy()
    for i, row in enumerate(which):
        assert target[place == i].tolist() == answers[row]
        assert column[place == i].min() == rows.start[row] - 1


def test_padding_is_never_scored_and_never_before_a_scored_token(rows):
    ids, scored, _ = rows.chunk(np.arange(len(rows)))
    assert not (ids.flatten()[scored + 1] == PAD).any()
    assert not (ids.flatten()[scored] == PAD).any()


def test_each_scored_token_has_its_texts_weight(blocks, rows):
    given = np.concatenate([np.full(len(b.ids), b.weight) for b in blocks])
    before = np.concatenate([np.full(len(b.ids), b.prompt_weight) for b in blocks])
    ids, scored, weight = rows.chunk(np.arange(len(rows)))
    row, column = np.divmod(scored.numpy(), ids.shape[1])
    answer = column >= rows.start[row] - 1
    assert weight.numpy() == pytest.approx(np.where(answer, given[row], before[row]))


def test_chunk_is_as_wide_as_its_longest_row(rows):
    which = np.argsort(rows.length)[:6]
    assert rows.chunk(which)[0].shape == (6, rows.length[which].max())


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_parts_partition_the_step(rows, workers):
    step = np.random.default_rng(2).permutation(len(rows))[:25]
    parts = [chunk[0] for w in range(workers) for chunk in share(rows, step, w, workers)]
    found = sorted(tuple(r[r != PAD].tolist()) for part in parts for r in part)
    expected = sorted(tuple(rows.ids[i, : rows.length[i]].tolist()) for i in step)
    assert found == expected


def test_workers_have_like_work(rows):
    step = np.arange(80)
    tokens = [sum(c[0].numel() for c in share(rows, step, w, 2)) for w in range(2)]
    assert max(tokens) < 1.1 * min(tokens)


def test_one_row_is_one_chunk_and_no_row_is_none(rows):
    assert len(share(rows, np.array([0]), 0, 1)) == 1
    assert share(rows, np.array([0]), 1, 2) == []


def test_a_pass_shows_every_row_once(rows):
    n = len(rows)
    size = n // 4
    seen = np.concatenate(list(steps(rows, 2 * n // size + 1, size, 3)))
    assert sorted(seen[:n]) == sorted(seen[n : 2 * n]) == list(range(n))
    assert seen[:n].tolist() != seen[n : 2 * n].tolist()


def test_steps_have_the_asked_number_and_size_even_beyond_the_data(rows):
    plan = list(steps(rows, 3, len(rows) + 7, 0))
    assert [len(step) for step in plan] == 3 * [len(rows) + 7]


def test_steps_follow_the_seed(rows):
    def plan(seed):
        return np.array(list(steps(rows, 3, 8, seed))).tolist()

    assert plan(1) == plan(1) and plan(1) != plan(2)


def test_a_question_weighs_less_than_its_answer_and_other_prompts_nothing(blocks):
    for block in blocks:
        _, scored, weight = Rows([block]).chunk(np.array([0]))
        answer = block.ids.shape[1] - block.start
        assert (weight[-answer:] == block.weight).all()
        before = len(weight) - answer
        assert before == (block.start - 1 if block.prompt_weight else 0)
        assert (weight[:before] == np.float32(block.prompt_weight)).all()
    assert {b.kind for b in blocks if b.prompt_weight} == {"forecast"}
