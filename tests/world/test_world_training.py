"""The fast loop: one vector of weights, processes that sum to one, the same model every time."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from lib.world.corpus import pretraining
from lib.world.pretrain import new_model
from lib.world.tokenizer import PAD
from lib.world.training import Rows, Stage, flatten, learning_rate, train

STAGE = Stage("test", 2, 16, 1e-3, 1, 0)


@pytest.fixture(scope="module")
def rows():
    return Rows(pretraining(96, 5, np.random.default_rng(0)))


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
    assert (one - two).abs().max() < 1e-5


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
    assert ((found - expected).abs() < 1e-5).float().mean() > 0.99


@pytest.mark.parametrize("workers", [1, 2])
def test_fixed_words_stay_and_all_else_learns(tmp_path, rows, workers):
    start = dict(new_model(32, 1, 2, 0).named_parameters())
    folder = trained(tmp_path, rows, replace(STAGE, fixed_words=(5, 300), workers=workers))
    found = dict(AutoModelForCausalLM.from_pretrained(folder).named_parameters())
    assert not any(torch.equal(weight, start[name]) for name, weight in found.items())
    words = "model.embed_tokens.weight"
    stayed = (found[words] == start[words]).all(1)
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
