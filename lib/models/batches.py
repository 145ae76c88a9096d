"""Batches of like length, the one way in which a model is fed.

Padding on the **right** needs no attention mask in a causal model: a real token never looks to
its right. So likelihoods run on the fast causal kernel; only generation pads on the left.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from lib.errors import require
from lib.models.folders import LoadedModel

MAX_TOKENS = 8192
"""Tokens in one forward pass, padding included."""
MAX_LOGITS = 2**25
"""Logits held at once (128 MB in float32); binds when the vocabulary is large."""
SPREAD = 8
"""Longest minus shortest sequence of a batch: bounds both padding and logits."""


def plan(lengths: Sequence[int], cost: Sequence[int], spread: int = SPREAD) -> list[np.ndarray]:
    """Batches of near-equal length, shortest first: `lengths` in tokens, `cost` in logits."""
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
    for i, length in enumerate(lengths):
        require(length, "at least one token in each prompt", f"an empty prompt at position {i}",
                "begin it with the tokenizer's bos token")
    context = getattr(model.model.config, "max_position_embeddings", None)
    most = max(lengths, default=0)
    require(not (most and context) or most + extra <= context,
            f"at most {context} tokens, the model's context",
            f"{most} in a prompt and {extra} to follow", "shorten the prompt, or generate less")


def chunks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` (at least one) that cover ``range(count)``."""
    size = max(1, size)
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
