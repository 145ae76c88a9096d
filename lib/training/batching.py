"""Length buckets, answer-only labels, and examples of unequal length in one row.

Padding is on the right, and goes without an attention mask: in a causal model no real token
looks to its right, and padded positions carry no loss.
"""

from collections.abc import Sequence

import numpy as np
import torch

from lib.errors import InvalidValueError
from lib.training.recipe import Example

IGNORED = -100
"""Label of a position that carries no loss (the convention of ``torch`` and ``transformers``)."""


def batch_plan(lengths: Sequence[int], batch_size: int, steps: int, seed: int) -> list[list[int]]:
    """Examples of each optimiser step.

    In every pass over the data each example occurs once: shuffle, sort by length (stable, so
    that company changes from pass to pass), cut into batches, shuffle the batches. Where the
    batch size does not divide the data, the one short batch falls at a random length.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each example.

    Returns
    -------
    list of list of int
        ``steps`` batches of example positions.
    """
    rng, batches = np.random.default_rng(seed), []
    lengths = np.asarray(lengths)
    full, rest = divmod(len(lengths), batch_size)
    while len(batches) < steps:
        order = rng.permutation(len(lengths))
        order = order[np.argsort(lengths[order], kind="stable")]
        sizes = rng.permutation([batch_size] * full + ([rest] if rest else []))
        parts = np.split(order, np.cumsum(sizes)[:-1])
        batches += [parts[i].tolist() for i in rng.permutation(len(parts))]
    return batches[:steps]


def split(batches: Sequence[list[int]], parts: int) -> list[list[int]]:
    """Cut each step's batch into parts of nearly equal size.

    Returns
    -------
    list of list of int
        ``len(batches) * parts`` lists of example positions, in order.

    Raises
    ------
    InvalidValueError
        A batch with fewer examples than parts.
    """
    smallest = min(map(len, batches))
    if smallest < parts:
        raise InvalidValueError(
            f"at least {parts} examples in each step, as accumulation is {parts}",
            f"a step of {smallest}",
            "lower accumulation, or choose a batch size that divides the number of examples",
        )
    return [part.tolist() for batch in batches for part in np.array_split(batch, parts)]


def collate(
    examples: Sequence[Example], device: torch.device | str = "cpu"
) -> dict[str, torch.Tensor]:
    """Pad to the longest of the batch.

    Returns
    -------
    dict
        ``input_ids`` and ``labels``, both (batch, longest) int64. Labels are aligned with the
        inputs, `IGNORED` on prompts and padding.
    """
    shape = len(examples), max(map(len, examples))
    ids, labels = np.zeros(shape, dtype=np.int64), np.full(shape, IGNORED, dtype=np.int64)
    for row, example in enumerate(examples):
        start, end = len(example.prompt), len(example)
        ids[row, :start] = example.prompt
        ids[row, start:end] = labels[row, start:end] = example.answer
    tensors = {"input_ids": torch.from_numpy(ids), "labels": torch.from_numpy(labels)}
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def pack(
    examples: Sequence[Example], device: torch.device | str = "cpu"
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """One example after the other in a single row: no padding, and one pass for all kinds.

    Returns
    -------
    inputs : dict
        ``input_ids`` and ``position_ids``, both (1, tokens) int64. Positions start anew with
        each example, which tells ``transformers`` to keep attention inside it.
    speaking : (answer tokens,) int64
        Where in the row a token precedes one of an answer: its logits speak of that.
    """
    ids = np.concatenate([[*e.prompt, *e.answer] for e in examples])
    lengths = np.array([len(e) for e in examples])
    starts = np.cumsum(lengths) - lengths
    positions = np.arange(len(ids)) - np.repeat(starts, lengths)
    speaking = np.concatenate([start + np.arange(len(e.prompt), len(e)) - 1
                               for start, e in zip(starts, examples, strict=True)])
    row = {"input_ids": ids, "position_ids": positions}
    inputs = {name: torch.from_numpy(line)[None].to(device) for name, line in row.items()}
    return inputs, torch.from_numpy(speaking).to(device)
