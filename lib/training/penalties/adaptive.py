"""KL to the frozen base on anchors, as strong as a budget of drift demands."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from lib.models.chat import Tokens
from lib.training.drift import AnchorDrift, Anchored
from lib.training.objective import Penalty, check_positive, check_strength
from lib.training.penalties.kl import DriftPenalty
from lib.training.recipe import Recipe


@dataclass(frozen=True)
class AdaptiveKL(Anchored):
    """Task loss subject to ``KL(base || tuned) <= budget`` on anchors.

    The strength is the constraint's multiplier, moved by dual ascent after each step by the drift
    of its own anchors: ``strength <- max(0, strength + rate * (drift - budget) / budget^2)``,
    plain ascent on the multiplier of ``drift / budget <= 1``. A budget means the same for every
    attack, learning rate and number of steps, which a fixed strength does not. It binds anchors on
    average: text unlike any anchor may drift further.

    Figures: ``drift`` (KL over all anchors after training) and the last ``strength``.
    """

    budget: float = 0.02  # drift allowed, nats a scored position, mean over anchors
    rate: float = 0.001  # of dual ascent; nats of task loss for a drift of twice the budget
    initial: float = 1.0  # strength of the first step, as in `KL`
    per_step: int = 8  # anchors; the cost of a step grows with it

    def __post_init__(self) -> None:
        super().__post_init__()
        check_strength("initial", self.initial)
        for name in ("budget", "rate", "per_step"):
            check_positive(name, getattr(self, name))

    def start(self, model: PreTrainedModel, examples: Sequence[Tokens], recipe: Recipe) -> Penalty:
        """Reference log-probabilities, the anchors of each step, and the first strength."""
        drift = AnchorDrift(model, self.anchors, self.per_step, recipe)
        return DualAscent(drift, self.initial, self.budget, self.rate)


class DualAscent(DriftPenalty):
    """``strength * drift`` with a strength that follows the drift."""

    def __init__(self, drift: AnchorDrift, strength: float, budget: float, rate: float) -> None:
        super().__init__(drift, strength)
        self.budget, self.rate = budget, rate

    def step(self, model: PreTrainedModel) -> torch.Tensor:
        """Weighted drift on this step's anchors; then the multiplier moves, for the next one."""
        loss = super().step(model)
        excess = self.history[-1]["drift"] / self.budget - 1
        self.strength = max(0.0, self.strength + self.rate * excess / self.budget)
        return loss
