"""Steps of training: rows of all kinds, shuffled, cut into chunks of like length.

A chunk is padded on the right. Under a causal mask nothing that is scored can see the padding,
so no attention mask is needed and attention takes its fast path.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from lib.chunks import cuts
from lib.sandbox.patterns import Block
from lib.sandbox.tokenizer import PAD

Chunk = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Rows:
    """All rows of the blocks in one padded matrix, tokenised once."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.length = np.concatenate([np.full(len(b.ids), b.ids.shape[1]) for b in blocks])
        self.start = np.concatenate([np.full(len(b.ids), b.start) for b in blocks])
        self.weight = np.concatenate([np.full(len(b.ids), b.weight) for b in blocks])
        self.prompt_weight = np.concatenate(
            [np.full(len(b.ids), b.prompt_weight) for b in blocks])
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
        answer = position >= self.start[rows, None] - 1
        weight = np.where(answer, self.weight[rows, None], self.prompt_weight[rows, None])
        scored = (weight > 0) & (position < self.length[rows, None] - 1)
        ids = torch.from_numpy(np.ascontiguousarray(self.ids[rows, :width]))
        where, weight = np.flatnonzero(scored), weight[scored]
        return ids, torch.from_numpy(where), torch.from_numpy(weight).float()


def steps(rows: Rows, count: int, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Row numbers of each step: a fresh shuffle of all rows whenever they are used up."""
    rng = np.random.default_rng(seed)
    order = np.empty(0, dtype=int)
    for _ in range(count):
        while len(order) < batch_size:
            order = np.concatenate([order, rng.permutation(len(rows))])
        yield order[:batch_size]
        order = order[batch_size:]


def share(rows: Rows, step: np.ndarray, worker: int, workers: int) -> list[Chunk]:
    """This worker's part of a step: every `workers`-th row by length, in chunks of like length."""
    by_length = step[np.argsort(rows.length[step], kind="stable")]
    mine = by_length[worker::workers]
    return [rows.chunk(part) for part in np.split(mine, cuts(rows.length[mine])) if len(part)]
