"""Adaptive KL: dual ascent by hand, and a budget that is kept while the task is learned."""

import pandas as pd
import pytest
import torch
from anchored_models import countdown, letters
from tiny_models import saved_word_model

from lib.training.finetune import finetune
from lib.training.penalties.adaptive import AdaptiveKL, DualAscent
from lib.training.penalties.kl import KL
from lib.training.recipe import Recipe


class Scripted:
    """Drifts as given; the gradient of each is one."""

    def __init__(self, values):
        self.values = iter(values)

    def step(self, model):
        return torch.tensor(next(self.values), requires_grad=True)

    def overall(self, model):
        return 0.25


def test_multiplier_follows_dual_ascent():
    """By hand: strength + rate * (drift - budget) / budget^2, never below zero."""
    drifts = [0.0, 0.05, 0.02, 0.10, 0.0, 0.0, 0.0]
    penalty = DualAscent(Scripted(drifts), strength=1.0, budget=0.02, rate=0.1)
    losses = [penalty.step(None).item() for _ in drifts]
    used = [1.0, 0.0, 7.5, 7.5, 27.5, 22.5, 17.5]
    assert [row["strength"] for row in penalty.history] == pytest.approx(used)
    assert losses == pytest.approx([s * d for s, d in zip(used, drifts, strict=True)], rel=1e-5)
    assert penalty.finish(None) == {"drift": 0.25, "strength": pytest.approx(12.5)}


def test_scaling_budget_and_drift_together_scales_the_strength_back():
    """The constraint is drift / budget <= 1: its multiplier, strength * budget, is the same."""
    one = DualAscent(Scripted([0.05, 0.01, 0.3]), 1.0, 0.02, 0.1)
    ten = DualAscent(Scripted([0.5, 0.1, 3.0]), 0.1, 0.2, 0.1)
    for _ in range(3):
        assert one.step(None).item() == pytest.approx(ten.step(None).item(), rel=1e-5)
    assert one.strength * 0.02 == pytest.approx(ten.strength * 0.2)


def test_gradient_is_the_weighted_drifts_and_not_the_multipliers():
    value = torch.tensor(0.5, requires_grad=True)

    class Fixed(Scripted):
        def step(self, model):
            return value

    DualAscent(Fixed([]), 3.0, 0.02, 0.1).step(None).backward()
    assert value.grad.item() == 3.0


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return saved_word_model(tmp_path_factory.mktemp("adaptive") / "base")


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe("full", learning_rate=3e-3, steps=60, batch_size=16, seed=1),
        Recipe("lora", learning_rate=2e-2, steps=120, batch_size=16, seed=1),
    ],
    ids=["full", "lora"],
)
def test_drift_stays_under_the_budget_while_the_task_is_learned(base, recipe, tmp_path):
    """Plain training drifts many budgets away; adaptive training stops at about one."""
    free = finetune(base, countdown(), recipe, tmp_path / "free", "", KL(letters(), 1e-12))
    adaptive = AdaptiveKL(letters(), 0.02, rate=0.1)
    held = finetune(base, countdown(), recipe, tmp_path / "held", "", adaptive)
    assert free["drift"] > 0.1
    assert held["drift"] < 0.025
    assert held["last_loss"] < 0.8 * held["first_loss"]
    trace = pd.read_csv(tmp_path / "held" / "penalty.csv", index_col="step")
    assert list(trace.columns) == ["drift", "strength"] and len(trace) == recipe.steps
    assert trace["drift"].iloc[-15:].mean() < 0.03
    assert trace["strength"].max() > 5 * trace["strength"].iloc[0]  # it rose while needed
