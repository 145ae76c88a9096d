"""What training minimises: losses of answer tokens, and what a regulariser may add to them.

A `Regularizer` is a declaration of plain values (`lib.training.penalties`). `finetune` asks it for
a `Penalty`, which lives as long as the run and holds what depends on the model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from lib.errors import require
from lib.models.chat import Tokens
from lib.models.folders import LoadedModel
from lib.training.batching import IGNORED, collate, pack
from lib.training.recipe import Recipe

PASS = 64
"""Examples in one pass without gradients."""


def answer_logits(
    model: PreTrainedModel, input_ids: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (batch, columns, vocabulary) from the first answer token on, and their targets."""
    first = int((labels != IGNORED).any(0).to(torch.int8).argmax())  # logit t speaks of t + 1
    keep = input_ids.shape[1] - first + 1
    logits = model(input_ids=input_ids, use_cache=False, logits_to_keep=keep).logits[:, :-1]
    return logits, labels[:, first:]


def packed_logprobs(model: PreTrainedModel, examples: Sequence[Tokens]) -> torch.Tensor:
    """Log-probabilities (answer tokens, vocabulary), float32, in one pass with gradients."""
    inputs, speaking = pack(examples, model.device)
    logits = model(**inputs, use_cache=False, logits_to_keep=speaking).logits[0]
    return logits.float().log_softmax(-1)


def answer_loss(
    model: PreTrainedModel, input_ids: torch.Tensor, labels: torch.Tensor, reduction: str = "mean"
) -> torch.Tensor:
    """Cross-entropy ``-log p(token | what precedes)``, nats, mean or sum over labelled tokens."""
    logits, targets = answer_logits(model, input_ids, labels)
    return functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction=reduction
    )


@torch.no_grad()
def scored_logprobs(
    model: PreTrainedModel, examples: Sequence[Tokens]
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (position of an example, its (answer tokens, vocabulary) log-probabilities)."""
    order = np.argsort([len(example) for example in examples], kind="stable")
    for start in range(0, len(order), PASS):
        rows = order[start : start + PASS].tolist()
        batch = collate([examples[i] for i in rows], model.device)
        logits, targets = answer_logits(model, **batch)
        for row, line, target in zip(rows, logits, targets, strict=True):
            yield row, line[target != IGNORED].float().log_softmax(-1)


class Penalty:
    """A regulariser at work in one run; this one does nothing. ``history`` is a row a step."""

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []

    def answers(
        self, model: PreTrainedModel, batch: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What is minimised, and cross-entropy; both **summed** over the batch's answer tokens."""
        loss = answer_loss(model, batch["input_ids"], batch["labels"], "sum")
        return loss, loss

    def step(self, model: PreTrainedModel) -> torch.Tensor | None:
        """What is added to the loss, called once an optimiser step, before the step is taken."""
        return None

    def finish(self, model: PreTrainedModel) -> dict[str, float]:
        """Figures of the trained model before it is saved; may also change its weights."""
        return {}


@dataclass(frozen=True)
class Regularizer:
    """Declares a penalty, none here; made of values that travel and can enter a key."""

    @property
    def active(self) -> bool:
        """False at zero strength: then nothing is computed at all."""
        return True

    def encoded(self, loaded: LoadedModel) -> "Regularizer":
        """The same for one model, texts of its own made into token ids."""
        return self

    def start(self, model: PreTrainedModel, examples: Sequence[Tokens], recipe: Recipe) -> Penalty:
        """The penalty of one run; the model still is the base. Leaves random states alone."""
        return Penalty()


def check_strength(name: str, value: float) -> None:
    """Refuse a negative or infinite strength."""
    require(0 <= value < float("inf"), f"a finite {name} of at least zero", str(value),
            "correct the regularizer")


def check_positive(name: str, value: float) -> None:
    """Refuse what is not a positive finite number."""
    require(0 < value < float("inf"), f"a positive {name}", str(value), "correct the regularizer")


def check_share(name: str, value: float) -> None:
    """Refuse what is not a share."""
    require(0 <= value <= 1, f"a {name} from 0 to 1", str(value), "correct the regularizer")
