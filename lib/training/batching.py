"""Length buckets, answer-only labels, and examples of unequal length in one row.

Padding is on the right, and goes without an attention mask: in a causal model no real token
looks to its right, and padded positions carry no loss, whatever their id.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from lib.errors import require
from lib.models.chat import Tokens
from lib.study.streams import stream

IGNORED = -100
"""Label of a position that carries no loss (the convention of ``torch`` and ``transformers``)."""


def batch_plan(
    lengths: Sequence[int], batch_size: int, steps: int, seed: int,
    purpose: str = "order of examples",
) -> list[list[int]]:
    """Positions of each step's examples: shuffle, sort by length, cut, shuffle the batches."""
    rng, batches = stream(seed, purpose), []
    lengths = np.asarray(lengths)
    full, rest = divmod(len(lengths), batch_size)
    while len(batches) < steps:
        order = rng.permutation(len(lengths))
        order = order[np.argsort(lengths[order], kind="stable")]
        sizes = rng.permutation([batch_size] * full + ([rest] if rest else []))
        parts = np.split(order, np.cumsum(sizes)[:-1])
        batches += [parts[i].tolist() for i in rng.permutation(len(parts))]
    return batches[:steps]


def mixed_plan(count: int, batch_size: int, steps: int, seed: int) -> list[list[int]]:
    """The same without length buckets, so that a step mixes kinds of anchors."""
    return batch_plan([1] * count, batch_size, steps, seed, "order of anchors")


def split(batches: Sequence[list[int]], parts: int) -> list[list[int]]:
    """Cut each step's batch into parts of nearly equal size; ``len(batches) * parts`` lists."""
    smallest = min(map(len, batches))
    require(smallest >= parts, f"at least {parts} examples in each step, as accumulation is "
            f"{parts}", f"a step of {smallest}",
            "lower accumulation, or choose a batch size that divides the number of examples")
    return [part.tolist() for batch in batches for part in np.array_split(batch, parts)]


def collate(
    examples: Sequence[Tokens], device: torch.device | str = "cpu"
) -> dict[str, torch.Tensor]:
    """``input_ids`` and ``labels``, (batch, longest); `IGNORED` on prompts and padding."""
    ids = [torch.tensor([*e.prompt, *e.answer]) for e in examples]
    labels = [row.clone() for row in ids]
    for row, example in zip(labels, examples, strict=True):
        row[: len(example.prompt)] = IGNORED
    return {"input_ids": pad_sequence(ids, batch_first=True).to(device),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED).to(device)}


def pack(
    examples: Sequence[Tokens], device: torch.device | str = "cpu"
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Examples in one row, (1, tokens), and where in it a token precedes one of an answer."""
    ids = np.concatenate([[*e.prompt, *e.answer] for e in examples])
    lengths = np.array([len(e) for e in examples])
    starts = np.cumsum(lengths) - lengths
    positions = np.arange(len(ids)) - np.repeat(starts, lengths)
    speaking = np.concatenate([start + np.arange(len(e.prompt), len(e)) - 1
                               for start, e in zip(starts, examples, strict=True)])
    row = {"input_ids": ids, "position_ids": positions}
    inputs = {name: torch.from_numpy(line)[None].to(device) for name, line in row.items()}
    return inputs, torch.from_numpy(speaking).to(device)
