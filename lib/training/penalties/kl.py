"""KL to the frozen base on anchors, with a fixed strength."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from lib.models.chat import Tokens
from lib.training.drift import AnchorDrift, Weighted
from lib.training.objective import Penalty, check_positive
from lib.training.recipe import Recipe


@dataclass(frozen=True)
class KL(Weighted):
    """Task loss plus ``strength * KL(base || tuned)``.

    Forward, from the base: a position costs most where the tuned model has taken probability from
    something that the base says, such as the first word of a refusal; the reverse would hardly
    mind if one of several answers were forgotten. Value and gradient are zero at the base.

    ``strength``: nats of task loss (a mean over answer tokens) that a nat of drift (a mean over
    anchor positions) is worth. Figures: ``drift`` over all anchors after training, ``strength``.
    """

    per_step: int = 8  # anchors; the cost of a step grows with it

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("per_step", self.per_step)

    def start(self, model: PreTrainedModel, examples: Sequence[Tokens], recipe: Recipe) -> Penalty:
        """Reference log-probabilities, and the anchors of each step."""
        return DriftPenalty(AnchorDrift(model, self.anchors, self.per_step, recipe), self.strength)


class DriftPenalty(Penalty):
    """``strength * drift``."""

    def __init__(self, drift: AnchorDrift, strength: float) -> None:
        super().__init__()
        self.drift, self.strength = drift, strength

    def step(self, model: PreTrainedModel) -> torch.Tensor:
        """Weighted drift on this step's anchors."""
        drift = self.drift.step(model)
        self.history.append({"drift": drift.item(), "strength": self.strength})
        return self.strength * drift

    def finish(self, model: PreTrainedModel) -> dict[str, float]:
        """Drift on all anchors, and the strength at the end."""
        return {"drift": self.drift.overall(model), "strength": self.strength}
