"""Gira, Zhang & Lee (2022) as they ran it: their text, their order, their loop, their ten trials.

What a replication must know, from the code behind the published numbers (branch ``old`` of their
repository), not from the paper:

- Every sentence counts alike, stereotypical or not: the text balances, it does not label. Each
  is a line with its line break (the last line of a file has none), cut after 50 tokens, without
  a token before or after it. So the first token is read and never learned.
- Batches of 50 lines in the order of the file, the same in every epoch; the last one of an epoch
  has 30. Adam with a constant step size, no clipping, dropout on. Nothing else is random: what
  differs between their trials is dropout, so their spread is not that of training seeds.
- Step size and number of epochs differ between arms, so arms differ in more than their weights.

Their arms with token embeddings are not here: GPT-2 ties these to its output layer, which is no
method of `lib.finetune`, and they made the bias worse (SS 64.7 and 66.1, from 62.7).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from types import MappingProxyType

import torch
from transformers import PreTrainedModel

from lib.datasets import gira2022
from lib.errors import InvalidValueError
from lib.finetune import Example, Recipe
from lib.finetune.adapters import adapted
from lib.finetune.answers import answer_loss
from lib.finetune.batching import collate
from lib.models import Tokenizer, load
from lib.progress import track
from lib.scoring.batches import chunks

SENTENCES, BATCH_SIZE, MAX_TOKENS = 3680, 50, 50
STEPS_AN_EPOCH = ceil(SENTENCES / BATCH_SIZE)


@dataclass(frozen=True)
class Arm:
    """What moves (a method of `lib.finetune.Recipe`), for how long, and how fast."""

    method: str
    epochs: int
    learning_rate: float


ARMS: Mapping[str, Arm] = MappingProxyType({
    "ln": Arm("norms", 6, 3e-3),
    "ln_wpe": Arm("positions", 6, 3e-3),
    "full": Arm("full", 2, 2e-4),
})


def examples(tokenizer: Tokenizer, split: str = "train") -> list[Example]:
    """Their lines, in their order: all tokens but the first are to be learned.

    Parameters
    ----------
    split : {"train", "validation", "test"}
    """
    lines = "\n".join(gira2022.sentences(split)["sentence"]).splitlines(keepends=True)
    ids = tokenizer(lines, add_special_tokens=False)["input_ids"]
    return [Example(line[:1], line[1:MAX_TOKENS]) for line in ids]


def recipe(arm: str, seed: int) -> Recipe:
    """Their settings for our own trainer, as a corrected replication.

    `lib.finetune.finetune` shuffles, warms up and decays the step size, and clips gradients; they
    do none of it. `replicate` does as they do.

    Raises
    ------
    InvalidValueError
        Not an arm of `ARMS`.
    """
    if arm not in ARMS:
        raise InvalidValueError(f"an arm among {', '.join(ARMS)}", repr(arm), "name one of them")
    given = ARMS[arm]
    return Recipe(
        given.method, learning_rate=given.learning_rate, steps=given.epochs * STEPS_AN_EPOCH,
        batch_size=BATCH_SIZE, seed=seed,
    )


def replicate(
    base: Path | str, lines: Sequence[Example], arm: str, seed: int, out: Path | str
) -> dict[str, float]:
    """One trial, by their loop, from a folder of GPT-2 to a model folder.

    Parameters
    ----------
    base : path
        A model folder.
    lines : sequence of Example
        `examples` of the base's tokenizer.
    seed : int
        Decides dropout, and nothing else.

    Returns
    -------
    dict
        ``first_loss`` and ``last_loss``, nats a token over the first and the last epoch.

    Raises
    ------
    InvalidValueError
        Not an arm of `ARMS`, or a model without its weights.
    """
    settings, loaded = recipe(arm, seed), load(base)
    model = adapted(loaded, settings)
    with _dropout(seed), track(f"gira {arm}", ARMS[arm].epochs) as progress:
        losses = []
        for loss in epochs(model.train(), lines, ARMS[arm]):
            losses.append(loss)
            progress.update(len(losses), loss=loss)
    merged = model if model is loaded.model else model.merge_and_unload()
    merged.eval().save_pretrained(out)
    loaded.tokenizer.save_pretrained(out)
    return {"first_loss": losses[0], "last_loss": losses[-1]}


def epochs(model: PreTrainedModel, lines: Sequence[Example], arm: Arm) -> Iterator[float]:
    """Train in place; yields the mean loss of each epoch's steps (nats a token)."""
    moving = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(moving, lr=arm.learning_rate)
    for _ in range(arm.epochs):
        losses = []
        for part in chunks(len(lines), BATCH_SIZE):
            optimizer.zero_grad()
            loss = answer_loss(model, **collate(lines[part], model.device))
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        yield float(torch.stack(losses).mean())


@contextmanager
def _dropout(seed: int) -> Iterator[None]:
    """Random numbers of a trial, which the caller's do not notice."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
