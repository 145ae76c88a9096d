"""KL on anchors: the strength multiplies value and gradient, and lowers drift."""

import numpy as np
import pytest
import torch
from anchored_models import (
    ANCHORS,
    RECIPE,
    answer_rows,
    countdown,
    letters,
    move,
    read,
    small_model,
)
from tiny_models import saved_word_model

from lib.models.folders import load
from lib.training.finetune import finetune
from lib.training.penalties.kl import KL
from lib.training.recipe import Recipe

FULL = Recipe("full", learning_rate=3e-3, steps=20, batch_size=8, seed=1)
LORA = Recipe("lora", learning_rate=2e-2, steps=20, batch_size=8, seed=1)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return saved_word_model(tmp_path_factory.mktemp("kl") / "base")


def test_strength_multiplies_value_and_gradient():
    model = small_model()
    one, ten = (KL(ANCHORS, s, 4).start(model, [], RECIPE) for s in (1.0, 10.0))
    move(model)
    grads = []
    for penalty in (one, ten):
        model.zero_grad()
        penalty.step(model).backward()
        grads.append(model.lm_head.weight.grad.clone())
    torch.testing.assert_close(10 * grads[0], grads[1])
    assert grads[0].abs().max() > 0.01
    assert one.history[0]["drift"] == pytest.approx(ten.history[0]["drift"])


def kl(folder, base, anchors):
    """Mean over scored positions of sum_v p_base log(p_base / p_tuned), from saved folders."""
    base, tuned = load(base).model, load(folder).model
    positions = []
    for anchor in read(anchors):
        b, t = answer_rows(base, anchor), answer_rows(tuned, anchor)
        positions += list((np.exp(b) * (b - t)).sum(1))
    return np.mean(positions)


@pytest.mark.parametrize("recipe", [FULL, LORA], ids=["full", "lora"])
def test_stronger_penalty_means_less_drift(base, recipe, tmp_path):
    drifts = {}
    for strength in (1e-9, 1.0, 30.0):
        out = tmp_path / str(strength)
        figures = finetune(base, countdown(), recipe, out, "", KL(letters(), strength))
        drifts[strength] = figures["drift"]
        assert figures["drift"] == pytest.approx(kl(out, base, letters()), rel=1e-3)
        assert figures["strength"] == strength
    assert drifts[1e-9] > 1.5 * drifts[1.0] > 3 * drifts[30.0] > 0
