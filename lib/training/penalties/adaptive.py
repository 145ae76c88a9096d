"""KL to the frozen base on anchors, as strong as a budget of drift demands."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from lib.models.chat import Tokens
from lib.training.drift import AnchorDrift, Anchored
from lib.training.objective import Penalty, check_positive, check_share
from lib.training.penalties.averaging import moving
from lib.training.penalties.kl import DriftPenalty
from lib.training.recipe import Recipe

CLOSE, HALVINGS = 0.9, 7
"""A way back may end at this share of the budget, as to look at all anchors takes time."""


@dataclass(frozen=True)
class AdaptiveKL(Anchored):
    """Task loss subject to ``KL(base || tuned) <= budget`` on anchors.

    The strength is the constraint's multiplier. Dual ascent moves its logarithm after each step,
    ``log strength <- log strength + rate * log(drift / budget)``, the logarithm of the ratio cut to
    [-1, 1]: attacks want strengths from 0.01 to 100, and a step must matter in all of them. Drift
    is a running mean over steps, ``memory * mean + (1 - memory) * drift``, as one step sees few
    anchors. A short training ends before the multiplier has found its place: if the drift on all
    anchors is then above the budget, the weights go back on the straight line to the base until it
    is not (of LoRA, ``B``). The budget binds anchors on average: other text may drift further.

    Figures: ``drift`` (over all anchors in the end), the last ``strength``, and ``kept``, the part
    of the update that the budget left (1: it was kept without going back).
    """

    budget: float = 0.03  # drift allowed, nats a scored position, mean over anchors
    rate: float = 0.15  # of dual ascent: the most by which a step moves the strength's logarithm
    memory: float = 0.7  # of the running mean, 0 to 1: 0 looks at the last step's anchors only
    initial: float = 3.0  # strength of the first step: strict while steps are large
    per_step: int = 8  # anchors; the cost of a step grows with it

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share("memory", self.memory)
        for name in ("budget", "rate", "initial", "per_step"):
            check_positive(name, getattr(self, name))

    def start(self, model: PreTrainedModel, examples: Sequence[Tokens], recipe: Recipe) -> Penalty:
        """Reference log-probabilities, the anchors of each step, and where the weights start."""
        drift = AnchorDrift(model, self.anchors, self.per_step, recipe)
        return DualAscent(drift, moving(model), self)


class DualAscent(DriftPenalty):
    """``strength * drift`` with a strength that follows the drift."""

    def __init__(
        self, drift: AnchorDrift, weights: list[torch.nn.Parameter], given: AdaptiveKL
    ) -> None:
        super().__init__(drift, given.initial)
        self.given, self.mean = given, None
        self.pairs = [(weight, weight.detach().clone()) for weight in weights]

    def step(self, model: PreTrainedModel) -> torch.Tensor:
        """Weighted drift on this step's anchors; then the multiplier moves, for the next one."""
        loss, given = super().step(model), self.given
        now = max(self.history[-1]["drift"], 1e-12)  # rounding lets the base drift below zero
        self.mean = now if self.mean is None else given.memory * self.mean + (
            1 - given.memory) * now
        excess = np.clip(np.log(self.mean / given.budget), -1, 1)
        self.strength *= float(np.exp(given.rate * excess))
        return loss

    @torch.no_grad()
    def finish(self, model: PreTrainedModel) -> dict[str, float]:
        """Drift on all anchors; above the budget, the weights go back until it is kept."""
        drift, kept = self.drift.overall(model), 1.0
        if drift > self.given.budget:
            kept = self._kept(model)
            drift = self.drift.overall(model)
        return {"drift": drift, "strength": self.strength, "kept": kept}

    def _kept(self, model: PreTrainedModel) -> float:
        """Search by halves the part of the update that the budget leaves, and leave no more."""
        updates, low, high = [weight - start for weight, start in self.pairs], 0.0, 1.0

        def leave(share: float) -> float:
            for (weight, start), update in zip(self.pairs, updates, strict=True):
                torch.add(start, update, alpha=share, out=weight)
            return self.drift.overall(model) / self.given.budget

        for _ in range(HALVINGS):
            middle = (low + high) / 2
            found = leave(middle)
            low, high = (low, middle) if found > 1 else (middle, high)
            if CLOSE < found <= 1:
                return middle
        leave(low)
        return low
