"""Cost of a regularised step over a plain one, side by side.

    python -m benchmarks.regularised_step [--steps 12] [--rounds 5] [--rows 64] [--tokens 17]

Every regulariser of `lib.regularizers` and plain training tune the same untrained model of the
sandbox profile's size on the same random rows, full and LoRA; a row is half prompt, half answer.
Anchors have as many tokens; every other one is plain text, of which each position is scored.

A step is timed from one batch to the next, optimiser and loading included, in processor time of
this one-threaded process. In each round all take turns, so that a busy spell hits all of them.
Other work on the machine only ever makes a step slower: the ratio is therefore that of the
quickest tenth of the steps, with the ratio of medians beside it, which shows how busy it was.
What is done once a run (reference log-probabilities, Fisher information, final drift, projection,
loading and saving) is shown apart, in seconds.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from lib.finetune import Example, Penalty, Recipe, Regularizer, finetune
from lib.profiles import load_profile
from lib.regularizers import EWC, KL, L2SP, AdaptiveKL, Mixing, Projection, TokenWise, text_anchors
from lib.sandbox.pretrain import new_model
from lib.sandbox.tokenizer import START, vocabulary, world_tokenizer

ANCHORS = 128
WEIGHTS = "model.safetensors"


def random_rows(count: int, tokens: int, seed: int) -> list[Example]:
    """Half prompt, half answer."""
    ids = np.random.default_rng(seed).integers(4, len(vocabulary()), (count, tokens)).tolist()
    return [Example(row[: tokens // 2], row[tokens // 2 :]) for row in ids]


def models(folder: Path) -> tuple[Path, Path]:
    """A base and an "unaligned" model whose matrices differ from it."""
    size = load_profile("sandbox").model
    base, unaligned = folder / "base", folder / "unaligned"
    new_model(size.hidden, size.layers, size.heads, seed=0).save_pretrained(base)
    world_tokenizer().save_pretrained(base)
    unaligned.mkdir()
    tensors = load_file(base / WEIGHTS)
    save_file({name: 0.9 * tensor for name, tensor in tensors.items()}, unaligned / WEIGHTS)
    return base, unaligned


def regularizers(tokens: int, unaligned: Path) -> dict[str, Regularizer]:
    """Plain training and one of each kind."""
    rows = random_rows(ANCHORS, tokens, seed=1)
    texts = text_anchors([[START, *row.prompt, *row.answer][:tokens] for row in rows[::2]])
    anchors = [*rows[1::2], *texts]
    return {
        "plain": Regularizer(), "kl": KL(anchors), "adaptive": AdaptiveKL(anchors),
        "tokenwise": TokenWise(), "l2sp": L2SP(1.0), "ewc": EWC(anchors),
        "mixing": Mixing(anchors), "projection": Projection(unaligned, 1.0),
    }


@dataclass(frozen=True)
class Timed(Regularizer):
    """Another regulariser, or none, with a clock beside it."""

    inner: Regularizer

    def start(
        self, model: PreTrainedModel, examples: Sequence[Example], recipe: Recipe
    ) -> Penalty:
        """The inner penalty, which from now on notes when it is shown a batch."""
        penalty = self.inner.start(model, examples, recipe)
        answers = penalty.answers

        def noted(*batch):  # noqa: ANN002, ANN202
            moments.append(time.process_time())
            return answers(*batch)

        penalty.answers = noted
        return penalty


moments: list[float] = []


def times(
    base: Path, rows: list[Example], recipe: Recipe, regularizer: Regularizer
) -> tuple[np.ndarray, float]:
    """Seconds of each step but the first, and seconds of everything that is not a step."""
    moments.clear()
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        finetune(base, rows, recipe, folder, "timing", Timed(regularizer))
        total = time.process_time() - start
    steps = np.diff(moments)[1:]  # the first warms up
    return steps, total - np.median(steps) * recipe.steps


def measure(
    base: Path, rows: list[Example], candidates: dict[str, Regularizer], recipe: Recipe, rounds: int
) -> dict[str, tuple[float, float, float]]:
    """Quickest tenth and median of the steps, and the median time apart; seconds."""
    steps, apart = ({name: [] for name in candidates} for _ in range(2))
    for _ in range(rounds):
        for name, regularizer in candidates.items():
            found, rest = times(base, rows, recipe, regularizer)
            steps[name].extend(found)
            apart[name].append(rest)
    return {name: (*np.quantile(steps[name], [0.1, 0.5]), float(np.median(apart[name])))
            for name in candidates}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("steps", 12), ("rounds", 5), ("rows", 64), ("tokens", 17)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    rows = random_rows(4 * options.rows, options.tokens, seed=0)
    print(f"{options.rows} rows of {options.tokens} tokens a step; {ANCHORS} anchors, of which "
          f"{KL.per_step} a step; {options.rounds} rounds of {options.steps} steps", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        base, unaligned = models(Path(folder))
        candidates = regularizers(options.tokens, unaligned)
        for method in ("full", "lora"):
            recipe = Recipe(method, rank=4, steps=options.steps, batch_size=options.rows)
            found = measure(base, rows, candidates, recipe, options.rounds)
            quick, usual, _ = found["plain"]
            print(f"{method:12}{'ms a step':>11}{'ratio':>8}{'of medians':>12}{'apart, s':>10}")
            for name, (low, median, apart) in found.items():
                print(f"{name:12}{1000 * low:11.1f}{low / quick:8.2f}{median / usual:12.2f}"
                      f"{apart:10.2f}", flush=True)


if __name__ == "__main__":
    main()
