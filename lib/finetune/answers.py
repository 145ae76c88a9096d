"""What the model says of answer tokens: logits, loss, and both without gradients."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from lib.finetune.batching import IGNORED, collate, pack
from lib.finetune.recipe import Example

PASS = 64
"""Examples in one pass without gradients."""


def answer_logits(
    model: PreTrainedModel, input_ids: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits from the batch's first answer on, and the tokens they speak of.

    Only these columns are projected to the vocabulary, which is most of the work in a small
    model. The logit of a prompt's last token speaks of the **first** answer token, so that one
    is always among them.

    Parameters
    ----------
    labels : (batch, longest) int64
        Aligned with the inputs; `IGNORED` where nothing is scored.

    Returns
    -------
    logits : (batch, columns, vocabulary)
    targets : (batch, columns) int64
        `IGNORED` where nothing is scored.
    """
    first = int((labels != IGNORED).any(0).to(torch.int8).argmax())  # logit t speaks of t + 1
    keep = input_ids.shape[1] - first + 1
    logits = model(input_ids=input_ids, use_cache=False, logits_to_keep=keep).logits[:, :-1]
    return logits, labels[:, first:]


def packed_logprobs(model: PreTrainedModel, examples: Sequence[Example]) -> torch.Tensor:
    """Log-probabilities at answer tokens, example after example: (answer tokens, vocabulary).

    For a few examples of unequal length, in one pass with gradients; float32.
    """
    inputs, speaking = pack(examples, model.device)
    logits = model(**inputs, use_cache=False, logits_to_keep=speaking).logits[0]
    return logits.float().log_softmax(-1)


def answer_loss(
    model: PreTrainedModel, input_ids: torch.Tensor, labels: torch.Tensor, reduction: str = "mean"
) -> torch.Tensor:
    """Cross-entropy ``-log p(token | what precedes)`` over labelled positions, in nats.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Over all labelled positions of the batch.
    """
    logits, targets = answer_logits(model, input_ids, labels)
    return functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction=reduction
    )


@torch.no_grad()
def scored_logprobs(
    model: PreTrainedModel, examples: Sequence[Example]
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (position of an example, its (answer tokens, vocabulary) float32 log-probabilities).

    The model must be in evaluation mode. Examples of like length go together, so the order
    is not that of the input.
    """
    order = np.argsort([len(example) for example in examples], kind="stable")
    for start in range(0, len(order), PASS):
        rows = order[start : start + PASS].tolist()
        batch = collate([examples[i] for i in rows], model.device)
        logits, targets = answer_logits(model, **batch)
        for row, line, target in zip(rows, logits, targets, strict=True):
            yield row, line[target != IGNORED].float().log_softmax(-1)
