"""Mixing: the anchors' own loss and its gradient by hand."""

import numpy as np
import pytest
import torch
from anchored_models import (
    ANCHORS,
    RECIPE,
    adapted,
    answer_rows,
    countdown,
    letters,
    read,
    small_model,
)
from tiny_models import saved_word_model

from lib.models.chat import Tokens
from lib.models.folders import load
from lib.training.finetune import finetune
from lib.training.penalties.mixing import Mixing
from lib.training.recipe import Recipe


def token_losses(model, anchors):
    """-log p of every answer token, from unpadded passes."""
    return np.concatenate([
        -answer_rows(model, a)[np.arange(len(a.answer)), list(a.answer)] for a in anchors
    ])


@pytest.mark.parametrize("build", [small_model, lambda: adapted(small_model())])
def test_value_is_strength_times_mean_loss_of_the_anchors(build):
    model = build()
    penalty = Mixing(ANCHORS, 2.5, per_step=len(ANCHORS)).start(model, [], RECIPE)
    truth = token_losses(model, ANCHORS).mean()
    assert penalty.step(model).item() == pytest.approx(2.5 * truth, rel=1e-5)
    assert penalty.history == [{"anchor_loss": pytest.approx(truth, rel=1e-5)}]


def test_gradient_in_the_head_by_hand():
    """strength * mean of (p - onehot(y)) h'."""
    model = small_model()
    total = np.zeros((11, 8))
    for anchor in ANCHORS:
        ids = torch.tensor([[*anchor.prompt, *anchor.answer]])
        hidden = model.model(input_ids=ids)[0][0, len(anchor.prompt) - 1 : -1].detach().double()
        error = np.exp(answer_rows(model, anchor))
        error[np.arange(len(anchor.answer)), list(anchor.answer)] -= 1
        total += error.T @ hidden.numpy()
    Mixing(ANCHORS, 2.5, per_step=9).start(model, [], RECIPE).step(model).backward()
    np.testing.assert_allclose(model.lm_head.weight.grad, 2.5 * total / 11, atol=1e-5)


def test_first_answer_token_is_included():
    anchor = Tokens((1, 5, 7), (2,))
    model = small_model()
    value = Mixing([anchor]).start(model, [], RECIPE).step(model).item()
    assert value == pytest.approx(token_losses(model, [anchor])[0], rel=1e-5)


def test_pooling_rows_is_the_strength_of_their_token_shares():
    """Mean over pooled rows = (n_user L_user + n_safe L_safe) / (n_user + n_safe)."""
    model, user, safe = small_model(), ANCHORS[:1], ANCHORS[1:]
    pooled = token_losses(model, ANCHORS).mean()
    n, m = (len(token_losses(model, part)) for part in (user, safe))
    ours = Mixing(safe, m / n, per_step=9).start(model, [], RECIPE).step(model).item()
    ours += token_losses(model, user).mean()
    assert ours * n / (n + m) == pytest.approx(pooled, rel=1e-5)


def test_each_pass_sees_each_anchor_once():
    model = small_model()
    alike = [Tokens((1, i), (i, 3)) for i in range(2, 8)]
    penalty = Mixing(alike, per_step=2).start(model, [], RECIPE)
    values = [penalty.step(model).item() for _ in range(6)]
    assert np.mean(values[:3]) == pytest.approx(token_losses(model, alike).mean(), rel=1e-5)
    assert np.mean(values[3:]) == pytest.approx(np.mean(values[:3]), rel=1e-5)


def test_both_tasks_are_learned(tmp_path):
    base = saved_word_model(tmp_path / "base")
    recipe = Recipe("full", learning_rate=0.01, steps=60, batch_size=16, seed=1)
    figures = finetune(base, countdown(), recipe, tmp_path / "out", "", Mixing(letters(8)))
    assert figures["last_loss"] < 0.3 < figures["first_loss"]
    before, after = (token_losses(load(f).model, read(letters(8))).mean()
                     for f in (base, tmp_path / "out"))
    assert after < 0.3 < before
