"""Batches of like length, the one way in which this package feeds a model.

Padding on the **right** needs no attention mask in a causal model: a real token never looks to
its right, and its position does not move. So likelihoods run on the fast causal kernel whatever
the mixture of lengths. Only generation pads on the left and passes a mask.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from lib.errors import InvalidValueError
from lib.models.folders import LoadedModel

MAX_TOKENS = 8192
"""Tokens in one forward pass, padding included."""
MAX_LOGITS = 2**25
"""Logits held at once (128 MB in float32); binds when the vocabulary is large."""
SPREAD = 8
"""Longest minus shortest sequence of a batch: bounds both padding and logits."""


def plan(lengths: Sequence[int], cost: Sequence[int], spread: int = SPREAD) -> list[np.ndarray]:
    """Partition items into batches of near-equal length, shortest batch first.

    `lengths` are tokens and `cost` logits of each item: the logits of a batch stay below
    `MAX_LOGITS`, but for a single item. `spread` is the largest difference of lengths in a batch.
    """
    batches, batch, logits = [], [], 0
    for i in np.lexsort((cost, lengths)):
        full = (len(batch) + 1) * lengths[i] > MAX_TOKENS or logits + cost[i] > MAX_LOGITS
        if batch and (full or lengths[i] - lengths[batch[0]] > spread):
            batches.append(np.array(batch))
            batch, logits = [], 0
        batch.append(i)
        logits += cost[i]
    return batches + ([np.array(batch)] if batch else [])


def right_pad(sequences: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    """Stack token ids as a (batch, longest) tensor; id 0 fills, as nothing ever attends to it."""
    rows = [torch.tensor(sequence, dtype=torch.long) for sequence in sequences]
    return pad_sequence(rows, batch_first=True).to(device)


def check_prompts(model: LoadedModel, prompts: Sequence[Sequence[int]], extra: int = 0) -> None:
    """Refuse an empty prompt, or one that with `extra` more tokens is beyond the context."""
    lengths = [len(prompt) for prompt in prompts]
    if lengths and min(lengths) == 0:
        raise InvalidValueError(
            "at least one token in each prompt",
            f"an empty prompt at position {lengths.index(0)}",
            "begin it with the tokenizer's bos token",
        )
    context = getattr(model.model.config, "max_position_embeddings", None)
    if lengths and context and max(lengths) + extra > context:
        raise InvalidValueError(
            f"at most {context} tokens, the model's context",
            f"{max(lengths)} in a prompt and {extra} to follow",
            "shorten the prompt, or generate less",
        )


def chunks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` (at least one) that cover ``range(count)``."""
    size = max(1, size)
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
