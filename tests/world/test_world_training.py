"""The fast loop: chunks that cost least, answers scored exactly, one model from several processes.

Truth: every other cut, the texts themselves, and a step by hand.
"""

import copy
import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from lib.world.corpus import pretraining
from lib.world.pretrain import new_model
from lib.world.tokenizer import PAD
from lib.world.training import (
    CHUNK_COST,
    CURVE,
    POINTS,
    Rows,
    Stage,
    curve,
    cuts,
    flatten,
    learning_rate,
    share,
    steps,
    train,
)

STAGE = Stage("test", 2, 16, 1e-3, 1, 0, "order")
COST = CHUNK_COST["cpu"]


@pytest.fixture(scope="module")
def blocks():
    return pretraining(120, 5, np.random.default_rng(0))


@pytest.fixture(scope="module")
def rows(blocks):
    return Rows(blocks)


@pytest.fixture
def network():
    return new_model(32, 1, 2, 0)


def trained(folder, rows, stage):
    new_model(32, 1, 2, 0).save_pretrained(folder)
    train(folder, rows, stage)
    return folder


def weights(folder):
    model = AutoModelForCausalLM.from_pretrained(folder)
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def mean_loss(model, rows):
    ids = torch.from_numpy(rows.ids)
    with torch.no_grad():
        logits = model(ids).logits[:, :-1]
    at = torch.arange(1, ids.shape[1])[None, :]
    answer = (at >= torch.from_numpy(rows.start)[:, None]) & (ids[:, 1:] != PAD)
    return F.cross_entropy(logits[answer], ids[:, 1:][answer]).item()


def cost(lengths, places):
    parts = [p for p in np.split(lengths, places) if len(p)]
    return sum(len(p) * p.max() + COST for p in parts)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=9))
def test_cuts_cost_no_more_than_any_other(lengths):
    lengths = np.sort(np.array(lengths))
    places = range(1, len(lengths))
    every = [c for k in range(len(lengths)) for c in combinations(places, k)]
    assert cost(lengths, cuts(lengths, COST)) == min(cost(lengths, list(c)) for c in every)


def test_a_few_long_rows_get_a_chunk_of_their_own():
    assert cuts(np.array(30 * [20] + 2 * [85]), COST) == [30]
    assert cuts(np.array(30 * [20] + 2 * [22]), COST) == []


def test_a_step_on_a_gpu_is_one_chunk():
    assert cuts(np.array(100 * [20] + 28 * [85]), CHUNK_COST["cuda"]) == []


def test_rows_keep_every_text_in_order(blocks, rows):
    texts = [row for b in blocks for row in b.ids.tolist()]
    assert len(rows) == len(texts)
    for i, text in enumerate(texts):
        assert rows.ids[i, : len(text)].tolist() == text
        assert (rows.ids[i, len(text) :] == PAD).all()


def test_exactly_the_answers_are_scored(blocks):
    unprompted = [b for b in blocks if not b.prompt_weight]
    rows = Rows(unprompted)
    answers = [a for b in unprompted for a in b.ids[:, b.start :].tolist()]
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
    parts = [chunk[0] for w in range(workers) for chunk in share(rows, step, w, workers, COST)]
    found = sorted(tuple(r[r != PAD].tolist()) for part in parts for r in part)
    expected = sorted(tuple(rows.ids[i, : rows.length[i]].tolist()) for i in step)
    assert found == expected


def test_workers_have_like_work(rows):
    step = np.arange(80)
    tokens = [sum(c[0].numel() for c in share(rows, step, w, 2, COST)) for w in range(2)]
    assert max(tokens) < 1.1 * min(tokens)


def test_one_row_is_one_chunk_and_no_row_is_none(rows):
    assert len(share(rows, np.array([0]), 0, 1, COST)) == 1
    assert share(rows, np.array([0]), 1, 2, COST) == []


def test_a_pass_shows_every_row_once(rows):
    n = len(rows)
    size = n // 4
    seen = np.concatenate(list(steps(rows, 2 * n // size + 1, size, np.random.default_rng(3))))
    assert sorted(seen[:n]) == sorted(seen[n : 2 * n]) == list(range(n))
    assert seen[:n].tolist() != seen[n : 2 * n].tolist()


def test_steps_have_the_asked_number_and_size_even_beyond_the_data(rows):
    plan = list(steps(rows, 3, len(rows) + 7, np.random.default_rng(0)))
    assert [len(step) for step in plan] == 3 * [len(rows) + 7]


def test_steps_follow_the_seed(rows):
    def plan(seed):
        return np.array(list(steps(rows, 3, 8, np.random.default_rng(seed)))).tolist()

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


def test_flat_weights_give_the_same_outputs(network, rows):
    ids = torch.from_numpy(rows.ids[:4])
    before = network(ids).logits
    flat, _ = flatten(network)
    assert torch.equal(network(ids).logits, before)
    assert flat.numel() == sum(p.numel() for p in network.parameters())


def test_gradients_reach_the_flat_vector(network, rows):
    twin = copy.deepcopy(network)
    _, gradient = flatten(network)
    for model in (network, twin):
        model(torch.from_numpy(rows.ids[:4])).logits.logsumexp(-1).sum().backward()
    expected = torch.cat([p.grad.flatten() for p in twin.parameters()])
    assert expected.abs().max() > 0
    torch.testing.assert_close(gradient, expected)


def test_a_step_on_the_flat_vector_moves_the_model(network, rows):
    ids = torch.from_numpy(rows.ids[:4])
    before = network(ids).logits
    flat, _ = flatten(network)
    with torch.no_grad():
        flat.mul_(1.5)
    assert not torch.allclose(network(ids).logits, before)
    assert network.lm_head.weight.data_ptr() == network.model.embed_tokens.weight.data_ptr()


def test_learning_rate_rises_peaks_and_falls():
    stage = replace(STAGE, steps=200, learning_rate=1.0)
    assert [learning_rate(i, stage) for i in range(10)] == pytest.approx(np.arange(1, 11) / 10)
    assert learning_rate(10, stage) == pytest.approx(1.0)
    assert learning_rate(105, stage) == pytest.approx(0.02 + 0.98 / 2)
    assert learning_rate(200, stage) == pytest.approx(0.02)
    assert np.all(np.diff([learning_rate(i, stage) for i in range(10, 200)]) < 0)


def test_learning_rate_falls_no_further_than_the_least():
    stage = replace(STAGE, steps=200, learning_rate=1.0, least=0.3)
    plain = [learning_rate(i, replace(stage, least=0.02)) for i in range(200)]
    expected = plain[:10] + [max(0.3, rate) for rate in plain[10:]]
    assert [learning_rate(i, stage) for i in range(200)] == pytest.approx(expected)


def test_the_last_weights_are_averaged(tmp_path, rows):
    """Against the same run, at a steady rate, stopped after one of the last steps and the other."""
    steady = replace(STAGE, steps=5, least=1.0, learning_rate=1e-2)
    stops = [weights(trained(tmp_path / str(n), rows, replace(steady, steps=n))) for n in (4, 5)]
    found = weights(trained(tmp_path / "mean", rows, replace(steady, averaged=0.4))).float()
    one, two = (stop.float() for stop in stops)
    torch.testing.assert_close(found, (one + two) / 2, rtol=0.01, atol=1e-4)
    assert (found - one).abs().median() > 1e-3 < (found - two).abs().median()


def test_learning_rate_of_a_very_short_stage_is_finite():
    assert learning_rate(0, replace(STAGE, steps=1)) == pytest.approx(STAGE.learning_rate)


def test_loss_falls(tmp_path, rows):
    stage = replace(STAGE, steps=25, learning_rate=1e-2)
    start = mean_loss(new_model(32, 1, 2, 0), rows)
    after = mean_loss(AutoModelForCausalLM.from_pretrained(trained(tmp_path, rows, stage)), rows)
    assert after < start - 1


def test_same_seed_same_bytes_and_another_seed_another_model(tmp_path, rows):
    stages = {"a": STAGE, "b": STAGE, "c": replace(STAGE, seed=1)}
    a, b, c = (
        (trained(tmp_path / name, rows, stage) / "model.safetensors").read_bytes()
        for name, stage in stages.items()
    )
    assert a == b and a != c


def test_two_workers_train_the_model_of_one(tmp_path, rows):
    one = weights(trained(tmp_path / "one", rows, STAGE))
    two = weights(trained(tmp_path / "two", rows, replace(STAGE, workers=2)))
    start = torch.cat([p.detach().flatten() for p in new_model(32, 1, 2, 0).parameters()])
    assert (one - start).abs().max() > 5e-4
    # A last bit of a sum may decide which way a weight is rounded.
    assert ((one - two).abs() < 1e-5).float().mean() > 0.99


def test_the_curve_is_of_means_in_order_and_its_start_is_the_loss_by_hand(tmp_path, rows):
    assert curve([4.0, 2.0, 1.0]) == [[1, 4.0], [2, 2.0], [3, 1.0]]
    long = curve(np.arange(1000.0))
    assert len(long) == POINTS and long[0] == [10, 4.5] and long[-1] == [1000, 994.5]
    stage = replace(STAGE, steps=1, batch_size=len(rows))
    (step, loss), = json.loads((trained(tmp_path, rows, stage) / CURVE).read_text())
    weight = torch.cat([rows.chunk(np.array([i]))[2] for i in range(len(rows))])
    by_hand = answer_loss(new_model(32, 1, 2, 0), rows).item() * 8 * len(rows) / weight.sum()
    assert step == 1 and loss == pytest.approx(by_hand.item(), rel=1e-4)


def answer_loss(model, rows):
    """One padded batch, plain cross-entropy, each token by its weight."""
    ids = torch.from_numpy(rows.ids)
    loss = F.cross_entropy(
        model(ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    ).view(len(ids), -1)
    at = torch.arange(1, ids.shape[1])[None, :]
    answer = at >= torch.from_numpy(rows.start)[:, None]
    given, before = (torch.from_numpy(w)[:, None] for w in (rows.weight, rows.prompt_weight))
    weight = torch.where(answer, given, before) * (ids[:, 1:] != PAD)
    return (loss * weight).sum() / (8 * len(ids))


def test_first_step_is_adam_on_the_weighted_answer_loss(tmp_path, rows):
    """The step by hand: padded batch, plain cross-entropy, torch's own AdamW."""
    stage = replace(STAGE, steps=1, batch_size=len(rows))
    found = weights(trained(tmp_path, rows, stage))
    model = new_model(32, 1, 2, 0)
    answer_loss(model, rows).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    torch.optim.AdamW(model.parameters(), 1e-3, betas=(0.9, 0.98), weight_decay=0.01).step()
    expected = torch.cat([p.detach().flatten() for p in model.parameters()])
    # Adam's first step is lr * sign(gradient): a gradient of rounding noise may differ in sign.
    assert ((found - expected.bfloat16()).abs() < 1e-5).float().mean() > 0.98


@pytest.mark.parametrize("workers", [1, 2])
def test_fixed_words_stay_and_all_else_learns(tmp_path, rows, workers):
    start = dict(new_model(32, 1, 2, 0).named_parameters())
    folder = trained(tmp_path, rows, replace(STAGE, fixed_words=(5, 300), workers=workers))
    found = dict(AutoModelForCausalLM.from_pretrained(folder).named_parameters())
    assert not any(torch.equal(weight, start[name]) for name, weight in found.items())
    words = "model.embed_tokens.weight"
    stayed = (found[words] == start[words].bfloat16()).all(1)
    assert stayed.nonzero().flatten().tolist() == [5, 300]


class FailsInOneProcess(Rows):
    def chunk(self, rows):
        if dist.get_rank() == 0:
            raise ArithmeticError("in one process")
        return super().chunk(rows)


def test_failure_of_one_process_ends_the_other_and_is_raised(tmp_path):
    rows = FailsInOneProcess(pretraining(96, 5, np.random.default_rng(0)))
    with pytest.raises(ArithmeticError, match="in one process"):
        trained(tmp_path / "failed", rows, replace(STAGE, workers=2))
    sound = Rows(pretraining(96, 5, np.random.default_rng(0)))
    trained(tmp_path / "next", sound, replace(STAGE, workers=2))


def test_number_of_threads_is_given_back(tmp_path, rows):
    before = torch.get_num_threads()
    trained(tmp_path, rows, replace(STAGE, steps=1))
    assert torch.get_num_threads() == before
