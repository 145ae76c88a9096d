"""The fast loop of the base model: rows of all kinds, cut into chunks of like length.

A chunk is padded on the right, which no scored token can see: no attention mask is needed. On a
small CPU two single-thread processes beat one with two threads: each takes half of a step's rows,
and gradients are summed before the update, so that the model is the same on every run.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.nn import functional as F
from transformers import AutoModelForCausalLM

from lib.study.progress import track
from lib.study.streams import stream
from lib.study.workers import side_by_side
from lib.world.patterns import Block
from lib.world.tokenizer import PAD

CHUNK_COST = {"cpu": 150, "cuda": 20_000}
"""Fixed work of a pass, in tokens; on a GPU (an estimate) so much that a step is one chunk."""

CURVE = "curve.json"
POINTS = 100
"""Most points of a stored training curve."""

Chunk = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Token ids, flat positions whose next token is scored, and the scores' weights."""


def cuts(lengths: np.ndarray, fixed: int) -> list[int]:
    """Cuts of rows sorted by length for least cost: ``n * longest + fixed`` tokens a chunk."""
    values, counts = np.unique(lengths, return_counts=True)
    ends = np.concatenate([[0], np.cumsum(counts)])
    least, start = [0.0], [0]
    for j, longest in enumerate(values, start=1):
        costs = np.array(least) + (ends[j] - ends[:j]) * longest + fixed
        least.append(float(costs.min()))
        start.append(int(costs.argmin()))
    found, j = [], start[-1]
    while j > 0:
        found.append(int(ends[j]))
        j = start[j]
    return found[::-1]


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
        """These rows, as wide as the longest of them."""
        width = self.length[rows].max()
        position = np.arange(width)[None, :]
        # The output at position t is scored against the token at t + 1.
        answer = position >= self.start[rows, None] - 1
        weight = np.where(answer, self.weight[rows, None], self.prompt_weight[rows, None])
        scored = (weight > 0) & (position < self.length[rows, None] - 1)
        ids = torch.from_numpy(np.ascontiguousarray(self.ids[rows, :width]))
        where, weight = np.flatnonzero(scored), weight[scored]
        return ids, torch.from_numpy(where), torch.from_numpy(weight).float()


def steps(
    rows: Rows, count: int, batch_size: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Row numbers of each step: a fresh shuffle of all rows whenever they are used up."""
    order = np.empty(0, dtype=int)
    for _ in range(count):
        while len(order) < batch_size:
            order = np.concatenate([order, rng.permutation(len(rows))])
        yield order[:batch_size]
        order = order[batch_size:]


def share(rows: Rows, step: np.ndarray, worker: int, workers: int, fixed: int) -> list[Chunk]:
    """This worker's part of a step: every `workers`-th row by length, in chunks of like length."""
    by_length = step[np.argsort(rows.length[step], kind="stable")]
    mine = by_length[worker::workers]
    parts = np.split(mine, cuts(rows.length[mine], fixed))
    return [rows.chunk(part) for part in parts if len(part)]


@dataclass(frozen=True)
class Stage:
    """One stage of training."""

    label: str
    steps: int
    batch_size: int
    learning_rate: float  # AdamW's, at its peak
    workers: int  # single-thread processes; one on a GPU
    seed: int
    order: str  # purpose of the random stream that orders examples
    fixed_words: tuple[int, ...] = ()  # tokens whose embeddings stay as they are
    least: float = 0.02  # share of the peak step size at which it stops falling
    averaged: float = 0.0  # share of the steps, the last ones, whose weights are averaged


def train(folder: Path, rows: Rows, stage: Stage) -> None:
    """Train the model saved in `folder` in place, on a GPU where there is one.

    Weights end as bfloat16, so that a model is the same whether it was just made or shipped. Beside
    them lies `CURVE`: rows of step and loss, nats a token by its weight, mean of the steps before.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        stage = replace(stage, workers=1)
    with tempfile.TemporaryDirectory() as meeting:
        place = f"{meeting}/store"
        side_by_side(lambda rank, run: run(_worker, rank, folder, rows, stage, device, place),
                     range(stage.workers), stage.workers)


def _worker(rank: int, folder: Path, rows: Rows, stage: Stage, device: str, place: str) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _together(rank, stage.workers, place):
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device)
            losses = _loop(model, rows, stage, rank)
        if rank == 0:
            model.to(torch.bfloat16).save_pretrained(folder)
            (folder / CURVE).write_text(json.dumps(curve(losses)), encoding="utf-8")
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _together(rank: int, workers: int, place: str) -> Iterator[None]:
    """The processes of one stage, which meet at a file; nothing for a single one."""
    if workers == 1:
        yield
        return
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=workers)
    try:
        yield
    finally:
        dist.destroy_process_group()  # also tells the others, should this one have failed


def curve(losses: Sequence[float]) -> list[list[float]]:
    """Step and mean loss since the entry before, at most `POINTS` entries."""
    parts = np.array_split(np.asarray(losses), min(POINTS, len(losses)))
    ends = np.cumsum([len(part) for part in parts])
    return [[int(end), round(float(part.mean()), 4)]
            for end, part in zip(ends, parts, strict=True)]


def _loop(model: torch.nn.Module, rows: Rows, stage: Stage, rank: int) -> list[float]:
    """Losses of all steps, on this worker's rows."""
    model.train()
    words, fixed = model.get_input_embeddings().weight, list(stage.fixed_words)
    flat, gradient = flatten(model)
    before = words.detach()[fixed]
    optimiser = torch.optim.AdamW(
        [flat], lr=stage.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    plan = steps(rows, stage.steps, stage.batch_size, stream(stage.seed, stage.order))
    losses, mean = [], Mean(stage)
    fixed_cost = CHUNK_COST[flat.device.type]
    with track(stage.label, stage.steps) if rank == 0 else nullcontext() as progress:
        for number, step in enumerate(plan):
            gradient.zero_()
            loss = _backward(model, share(rows, step, rank, stage.workers, fixed_cost), len(step))
            if stage.workers > 1:
                dist.all_reduce(gradient)
            words.grad[fixed] = 0
            torch.nn.utils.clip_grad_norm_([flat], 1.0)
            optimiser.param_groups[0]["lr"] = learning_rate(number, stage)
            optimiser.step()
            words.data[fixed] = before  # weight decay moves them even without a gradient
            mean.take(flat, number)
            losses.append(loss)
            if rank == 0:
                progress.update(number + 1, loss=loss)
    if mean.taken:
        flat.data.copy_(mean.weights)
    return losses


class Mean:
    """The mean of a stage's last weights: single steps rock about what they are taught."""

    def __init__(self, stage: Stage) -> None:
        self.first = round(stage.steps * (1 - stage.averaged))
        self.taken, self.weights = 0, torch.empty(0)

    def take(self, flat: torch.Tensor, number: int) -> None:
        """Add the weights after step `number`, unless the mean starts later."""
        if number >= self.first:
            self.taken += 1
            before = self.weights if self.taken > 1 else torch.zeros_like(flat)
            self.weights = before + (flat.detach() - before) / self.taken


def flatten(model: torch.nn.Module) -> tuple[torch.nn.Parameter, torch.Tensor]:
    """Move all weights into one vector, gradients too: one update, one exchange a step."""
    weights = list(model.parameters())
    flat = torch.nn.Parameter(torch.cat([w.detach().reshape(-1) for w in weights]))
    flat.grad = torch.zeros_like(flat)
    place = 0
    for w in weights:
        end = place + w.numel()
        w.data = flat.data[place:end].view_as(w)
        w.grad = flat.grad[place:end].view_as(w)
        place = end
    return flat, flat.grad


def _backward(model: torch.nn.Module, chunks: list[Chunk], rows: int) -> float:
    """Add the step's gradient; the mean loss of these rows, nats a token by its weight."""
    total, weights = 0.0, 0.0
    for chunk in chunks:
        ids, scored, weight = (part.to(model.device) for part in chunk)
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        # Only scored positions meet the vocabulary: most of a prompt is never predicted.
        logits = model.lm_head(hidden.flatten(0, 1)[scored])
        target = ids.flatten()[scored + 1]
        loss = (F.cross_entropy(logits, target, reduction="none") * weight).sum() / (8 * rows)
        loss.backward()
        total, weights = total + loss.item(), weights + weight.sum().item()
    return total * 8 * rows / max(weights, 1e-9)


def learning_rate(step: int, stage: Stage) -> float:
    """Linear warm-up over a twentieth of the steps, then cosine decay to the least."""
    warm = max(1, stage.steps // 20)
    if step < warm:
        return stage.learning_rate * (step + 1) / warm
    through = (step - warm) / max(1, stage.steps - warm)
    falling = 0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * through))
    return stage.learning_rate * max(stage.least, falling)
