"""Safety-data mixing: keep teaching the answers that must not be forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from lib.models.chat import Tokens
from lib.training.batching import collate, mixed_plan
from lib.training.drift import Weighted
from lib.training.objective import Penalty, answer_loss, check_positive
from lib.training.recipe import Recipe


@dataclass(frozen=True)
class Mixing(Weighted):
    """Task loss plus ``strength`` times the cross-entropy of the anchors' own answers.

    Each step sees its full batch and besides it ``per_step`` anchors, so that the task gets the
    same exposure at any strength. Anchors are requests with the answers wanted, such as forbidden
    ones with refusals; unlike those of `KL` the answers need not be the base's.

    Bianchi et al., *Safety-Tuned LLaMAs*, ICLR 2024, arXiv 2309.07875, mix rows. More anchors of
    refusals also mean more needless refusals.
    """

    per_step: int = 8  # anchors; the cost of a step grows with it

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("per_step", self.per_step)

    def start(self, model: PreTrainedModel, examples: Sequence[Tokens], recipe: Recipe) -> Penalty:
        """The anchors of each step."""
        batches = mixed_plan(len(self.anchors), self.per_step, recipe.steps, recipe.seed)
        return _Reminder(self.anchors, batches, self.strength)


class _Reminder(Penalty):
    """The anchors' loss in one run."""

    def __init__(
        self, anchors: tuple[Tokens, ...], batches: list[list[int]], strength: float
    ) -> None:
        super().__init__()
        self.anchors, self.batches, self.strength = anchors, iter(batches), strength

    def step(self, model: PreTrainedModel) -> torch.Tensor:
        """Weighted mean cross-entropy of this step's anchors."""
        batch = collate([self.anchors[i] for i in next(self.batches)], model.device)
        loss = answer_loss(model, **batch)
        self.history.append({"anchor_loss": loss.item()})
        return self.strength * loss
