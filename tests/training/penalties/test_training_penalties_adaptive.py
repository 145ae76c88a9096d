"""Adaptive KL: the multiplier of a known problem, and a budget that is kept."""

import math

import pandas as pd
import pytest
import torch
from anchored_models import countdown, letters
from tiny_models import saved_word_model

from lib.errors import InvalidValueError
from lib.training.finetune import finetune
from lib.training.penalties.adaptive import CLOSE, AdaptiveKL, DualAscent
from lib.training.penalties.kl import KL
from lib.training.recipe import Recipe


class Quadratic:
    """Drift ``theta^2 / 2`` of one weight that starts at the base, zero."""

    def __init__(self, theta, noise=0.0):
        self.theta, self.noise = theta, noise
        self.random = torch.Generator().manual_seed(1)

    def step(self, model):
        jitter = torch.exp(self.noise * torch.randn((), generator=self.random))
        return jitter * self.overall(model)

    def overall(self, model):
        return (self.theta**2 / 2).sum()


def solved(target, budget, noise=0.0, steps=400, **given):
    """Gradient descent on ``(theta - target)^2 / 2`` subject to ``theta^2 / 2 <= budget``."""
    theta = torch.nn.Parameter(torch.zeros(1))
    penalty = DualAscent(Quadratic(theta, noise), [theta], AdaptiveKL(letters(), budget, **given))
    for _ in range(steps):
        loss = ((theta - target) ** 2 / 2).sum() + penalty.step(None)
        (gradient,) = torch.autograd.grad(loss, theta)
        with torch.no_grad():
            theta -= 0.3 / (1 + penalty.history[-1]["strength"]) * gradient
    return theta, penalty


@pytest.mark.parametrize("target", [0.5, 2.0, 30.0])
def test_the_multiplier_converges_to_that_of_a_known_problem(target):
    """Closed form: ``theta = target / (1 + strength)``, so ``strength = target / sqrt(2b) - 1``."""
    theta, penalty = solved(target, budget=0.08, steps=1000, rate=0.05)
    assert penalty.strength == pytest.approx(target / 0.4 - 1, rel=0.02)
    assert theta.item() == pytest.approx(0.4, rel=0.01)


def test_noisy_steps_move_the_multiplier_less_with_a_longer_memory():
    """Each step's drift is off by a factor; the running mean finds the same multiplier."""
    spread = {}
    for memory in (0.0, 0.9):
        _, penalty = solved(2.0, 0.08, noise=0.7, memory=memory, rate=0.1)
        late = pd.DataFrame(penalty.history)["strength"].iloc[200:].map(math.log)
        spread[memory] = late.std()
        assert late.mean() == pytest.approx(math.log(4.0), abs=0.4)
    assert spread[0.9] < spread[0.0]


def test_where_the_budget_never_binds_the_penalty_fades():
    theta, penalty = solved(0.2, budget=0.08)
    assert penalty.strength < 1e-6 and theta.item() == pytest.approx(0.2, rel=1e-3)
    assert penalty.finish(None)["kept"] == 1.0


def test_a_step_moves_the_strength_by_no_more_than_the_rate_says():
    _, penalty = solved(1e6, budget=1e-6, steps=5, rate=0.4, memory=0.0)
    strengths = pd.DataFrame(penalty.history)["strength"]
    assert strengths[1] == pytest.approx(strengths[0] * math.exp(-0.4))  # no drift yet
    assert (strengths / strengths.shift()).iloc[2:].to_numpy() == pytest.approx(math.exp(0.4))


def test_a_training_too_short_for_the_multiplier_goes_back_to_the_budget():
    theta, penalty = solved(2.0, budget=0.08, steps=6)
    before = theta.item()
    assert before**2 / 2 > 0.08
    figures = penalty.finish(None)
    assert theta.item() == pytest.approx(figures["kept"] * before)
    assert CLOSE * 0.08 < figures["drift"] <= 0.08


def test_gradient_is_the_weighted_drifts_and_not_the_multipliers():
    theta = torch.nn.Parameter(torch.tensor([0.5]))
    given = AdaptiveKL(letters(), 0.02, initial=3.0)
    DualAscent(Quadratic(theta), [theta], given).step(None).backward()
    assert theta.grad.item() == pytest.approx(3.0 * 0.5)


@pytest.mark.parametrize("name", ["budget", "rate", "initial"])
def test_what_must_be_positive_is_refused_at_zero(name):
    with pytest.raises(InvalidValueError, match=f"positive {name}"):
        AdaptiveKL(letters(), **{name: 0.0})


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
@pytest.mark.parametrize("budget", [0.01, 0.03])
def test_drift_ends_at_the_budget_while_the_task_is_learned(base, recipe, budget, tmp_path):
    """Plain training drifts many budgets away; the multiplier does the work, not the way back."""
    free = finetune(base, countdown(), recipe, tmp_path / "free", "", KL(letters(), 1e-12))
    held = finetune(base, countdown(), recipe, tmp_path / "held", "", AdaptiveKL(letters(), budget))
    assert free["drift"] > 3 * budget
    assert held["drift"] <= budget and held["kept"] > 0.5
    assert held["last_loss"] < 0.85 * held["first_loss"]
    trace = pd.read_csv(tmp_path / "held" / "penalty.csv", index_col="step")
    assert list(trace.columns) == ["drift", "strength"] and len(trace) == recipe.steps
