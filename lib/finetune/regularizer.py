"""What a regulariser may do in a training run; the classes themselves are in `lib.regularizers`.

A `Regularizer` is a declaration, made of plain values. `finetune` asks it for a `Penalty`, which
lives as long as the run and holds everything that depends on the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from lib.finetune.answers import answer_loss
from lib.finetune.recipe import Example, Recipe


class Penalty:
    """A regulariser at work in one run; this one does nothing.

    Attributes
    ----------
    history : list of dict
        Figures of each step where a regulariser is worth watching; the same keys each time.
    """

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []

    def answers(
        self, model: PreTrainedModel, batch: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What is minimised, and cross-entropy; both **summed** over the batch's answer tokens.

        Parameters
        ----------
        batch : dict
            ``input_ids`` and ``labels`` as from `collate`, and ``rows``, the positions of the
            examples in the training set.
        """
        loss = answer_loss(model, batch["input_ids"], batch["labels"], "sum")
        return loss, loss

    def step(self, model: PreTrainedModel) -> torch.Tensor | None:
        """What is added to the loss, called once an optimiser step, before the step is taken."""
        return None

    def finish(self, model: PreTrainedModel) -> dict[str, float]:
        """Figures of the trained model, for the result of `finetune`.

        Called before the model is saved, in evaluation mode, so it may also change weights.
        """
        return {}


@dataclass(frozen=True)
class Regularizer:
    """Declares a penalty; this one declares none.

    Subclasses are frozen dataclasses of numbers, text, paths and tuples, so that they travel to
    worker processes and ``dataclasses.asdict`` can enter an artefact's key.
    """

    @property
    def active(self) -> bool:
        """False at zero strength: then nothing is computed at all."""
        return True

    def start(
        self, model: PreTrainedModel, examples: Sequence[Example], recipe: Recipe
    ) -> Penalty:
        """The penalty of one run; the model still is the base, in evaluation mode.

        Must leave the global random state alone.
        """
        return Penalty()
