"""Steps of training: rows of all kinds, shuffled, cut into chunks of like length.

A chunk is padded on the right. Under a causal mask nothing that is scored can see the padding,
so no attention mask is needed and attention takes its fast path.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from lib.sandbox.patterns import Block
from lib.sandbox.tokenizer import PAD

Chunk = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Rows:
    """All rows of the blocks in one padded matrix, tokenised once."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.length = np.concatenate([np.full(len(b.ids), b.ids.shape[1]) for b in blocks])
        self.start = np.concatenate([np.full(len(b.ids), b.start) for b in blocks])
        self.weight = np.concatenate([np.full(len(b.ids), b.weight) for b in blocks])
        self.ids = np.full((len(self.length), self.length.max()), PAD, dtype=np.int64)
        row = 0
        for block in blocks:
            self.ids[row : row + len(block.ids), : block.ids.shape[1]] = block.ids
            row += len(block.ids)

    def __len__(self) -> int:
        return len(self.length)

    def chunk(self, rows: np.ndarray) -> Chunk:
        """Token ids, flat positions whose next token is scored, and the scores' weights."""
        width = self.length[rows].max()
        position = np.arange(width)[None, :]
        # The output at position t is scored against the token at t + 1.
        scored = (position >= self.start[rows, None] - 1) & (position < self.length[rows, None] - 1)
        weight = np.broadcast_to(self.weight[rows, None], scored.shape)[scored]
        ids = torch.from_numpy(np.ascontiguousarray(self.ids[rows, :width]))
        return ids, torch.from_numpy(np.flatnonzero(scored)), torch.from_numpy(weight).float()


def steps(rows: Rows, count: int, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Row numbers of each step: a fresh shuffle of all rows whenever they are used up."""
    rng = np.random.default_rng(seed)
    order = np.empty(0, dtype=int)
    for _ in range(count):
        while len(order) < batch_size:
            order = np.concatenate([order, rng.permutation(len(rows))])
        yield order[:batch_size]
        order = order[batch_size:]


CHUNK_COST = 150
"""What a chunk costs beside its tokens, in tokens: the fixed work of a pass on a small model."""


def share(rows: Rows, step: np.ndarray, worker: int, workers: int) -> list[Chunk]:
    """This worker's part of a step: every `workers`-th row by length, in chunks of like length."""
    by_length = step[np.argsort(rows.length[step], kind="stable")]
    mine = by_length[worker::workers]
    return [rows.chunk(part) for part in np.split(mine, cuts(rows.length[mine])) if len(part)]


def cuts(lengths: np.ndarray) -> list[int]:
    """Where to cut rows sorted by length, so that all chunks together cost least.

    A chunk of n rows costs ``n * longest + CHUNK_COST`` tokens. A few long chats among many short
    texts would otherwise pad half of a step to their length.
    """
    values, counts = np.unique(lengths, return_counts=True)
    ends = np.concatenate([[0], np.cumsum(counts)])
    least, start = [0.0], [0]
    for j, longest in enumerate(values, start=1):
        costs = np.array(least) + (ends[j] - ends[:j]) * longest + CHUNK_COST
        least.append(float(costs.min()))
        start.append(int(costs.argmin()))
    found, j = [], start[-1]
    while j > 0:
        found.append(int(ends[j]))
        j = start[j]
    return found[::-1]
