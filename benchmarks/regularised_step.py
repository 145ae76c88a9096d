"""Cost of a regularised step over a plain one, side by side.

    python -m benchmarks.regularised_step [--steps 12] [--rounds 5] [--rows 64] [--tokens 17]
                                          [--model FOLDER] [--precision bfloat16]

Every regulariser of `lib.training.penalties` and plain training tune the same model, untrained and
of the sandbox profile's size unless a folder names another, on the same rows of random words, full
and LoRA; a row is half prompt, half answer. Anchors have as many; every other one is plain text,
of which each position is scored.

A step is timed from one batch to the next, optimiser and loading included, in processor time of
this one-threaded process, or by the clock where a GPU does the work; there, the most memory that
a run takes is shown, too. In each round all take turns, so that a busy spell hits all of them.
Other work on the machine only ever makes a step slower: the ratio is therefore that of the
quickest tenth of the steps, with the ratio of medians beside it, which shows how busy it was.
What is done once a run (reference log-probabilities, Fisher information, final drift, projection,
loading and saving) is shown apart, in seconds.
"""

import argparse
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from lib.models.chat import Example, Prompt, Tokens
from lib.models.folders import LoadedModel, Tokenizer, load, weight_files
from lib.study.profiles import load_profile
from lib.training.finetune import finetune
from lib.training.objective import Penalty, Regularizer
from lib.training.penalties.adaptive import AdaptiveKL
from lib.training.penalties.ewc import EWC
from lib.training.penalties.kl import KL
from lib.training.penalties.l2sp import L2SP
from lib.training.penalties.mixing import Mixing
from lib.training.penalties.projection import Projection
from lib.training.penalties.tokenwise import TokenWise
from lib.training.recipe import PRECISIONS, Recipe
from lib.world.pretrain import new_model
from lib.world.tokenizer import world_tokenizer

ANCHORS = 128

now = time.perf_counter if torch.cuda.is_available() else time.process_time


def random_rows(tokenizer: Tokenizer, count: int, tokens: int, seed: int) -> list[Example]:
    """Half prompt, half answer, from the words of a vocabulary."""
    plain = sorted(set(range(len(tokenizer))) - set(tokenizer.all_special_ids))
    ids = np.random.default_rng(seed).choice(plain, (count, tokens)).tolist()
    half = tokens // 2
    return [Example(Prompt(opening=tokenizer.decode(row[:half])), tokenizer.decode(row[half:]),
                    ends=False) for row in ids]


def new_base(folder: Path) -> Path:
    """An untrained model of the sandbox profile's size."""
    size = load_profile("sandbox").model
    new_model(size.hidden, size.layers, size.heads, seed=0).save_pretrained(folder)
    world_tokenizer().save_pretrained(folder)
    return folder


def weaker(base: Path, folder: Path) -> Path:
    """An "unaligned" model, whose every weight differs from the base's."""
    folder.mkdir()
    for file in weight_files(base):
        tensors = load_file(file)
        save_file({name: 0.9 * tensor for name, tensor in tensors.items()}, folder / file.name)
    return folder


MAKERS = {
    "kl": lambda anchors, unaligned: KL(anchors),
    "adaptive": lambda anchors, unaligned: AdaptiveKL(anchors),
    "tokenwise": lambda anchors, unaligned: TokenWise(),
    "l2sp": lambda anchors, unaligned: L2SP(1.0),
    "ewc": lambda anchors, unaligned: EWC(anchors),
    "mixing": lambda anchors, unaligned: Mixing(anchors),
    "projection": lambda anchors, unaligned: Projection(unaligned, 1.0),
}


def regularizers(
    names: Iterable[str], tokenizer: Tokenizer, tokens: int, unaligned: Path
) -> dict[str, Regularizer]:
    """Plain training, and regularisers by name."""
    rows = random_rows(tokenizer, ANCHORS, tokens, seed=1)
    texts = [Example(Prompt(), f"{row.prompt.opening} {row.answer}", ends=False)
             for row in rows[::2]]
    anchors = [*rows[1::2], *texts]
    made = {name: MAKERS[name](anchors, unaligned) for name in names}
    return {"plain": Regularizer(), **made}


@dataclass(frozen=True)
class Timed(Regularizer):
    """Another regulariser, or none, with a clock beside it."""

    inner: Regularizer

    def encoded(self, loaded: LoadedModel) -> Regularizer:
        """A clock beside the inner one's tokens."""
        return Timed(self.inner.encoded(loaded))

    def start(self, model: PreTrainedModel, examples: Sequence[Tokens], recipe: Recipe) -> Penalty:
        """The inner penalty, which from now on notes when it is shown a batch."""
        penalty = self.inner.start(model, examples, recipe)
        answers = penalty.answers

        def noted(*batch):  # noqa: ANN002, ANN202
            moments.append(now())
            return answers(*batch)

        penalty.answers = noted
        return penalty


moments: list[float] = []


@dataclass(frozen=True)
class Cost:
    """What one run, or several of them, took."""

    steps: np.ndarray  # seconds each, without the first, which warms up
    apart: float  # seconds of everything that is not a step
    memory: float  # bytes on the GPU at most, or zero

    def quick(self) -> float:
        """Quickest tenth of the steps."""
        return float(np.quantile(self.steps, 0.1))

    def usual(self) -> float:
        """Median step."""
        return float(np.median(self.steps))


def run(base: Path, rows: list[Example], recipe: Recipe, regularizer: Regularizer) -> Cost:
    """Train once."""
    moments.clear()
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        start = now()
        finetune(base, rows, recipe, folder, "timing", Timed(regularizer))
        total = now() - start
    steps = np.diff(moments)[1:]
    memory = torch.cuda.max_memory_allocated() if on_gpu else 0
    return Cost(steps, total - float(np.median(steps)) * recipe.steps, memory)


def measure(
    base: Path, rows: list[Example], candidates: dict[str, Regularizer], recipe: Recipe, rounds: int
) -> dict[str, Cost]:
    """Steps of all rounds; median time apart; most memory."""
    found = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, regularizer in candidates.items():
            found[name].append(run(base, rows, recipe, regularizer))
    return {
        name: Cost(np.concatenate([c.steps for c in costs]),
                   float(np.median([c.apart for c in costs])), max(c.memory for c in costs))
        for name, costs in found.items()
    }


def report(found: dict[str, Cost], method: str) -> None:
    """One line a regulariser."""
    plain = found["plain"]
    print(f"{method:12}{'ms a step':>11}{'ratio':>8}{'of medians':>12}{'apart, s':>10}{'GB':>7}")
    for name, cost in found.items():
        memory = f"{cost.memory / 1e9:7.1f}" if cost.memory else ""
        print(f"{name:12}{1000 * cost.quick():11.1f}{cost.quick() / plain.quick():8.2f}"
              f"{cost.usual() / plain.usual():12.2f}{cost.apart:10.2f}{memory}", flush=True)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("steps", 12), ("rounds", 5), ("rows", 64), ("tokens", 17)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--model", type=Path, help="folder of the model that is tuned")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--methods", nargs="+", choices=("full", "lora"), default=["full", "lora"])
    parser.add_argument("--only", nargs="+", choices=MAKERS, default=MAKERS,
                        help="regularisers to compare with plain training")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    print(f"{options.rows} rows of {options.tokens} tokens a step; {ANCHORS} anchors, of which "
          f"{KL.per_step} a step; {options.rounds} rounds of {options.steps} steps", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        base = options.model or new_base(Path(folder) / "base")
        tokenizer = load(base).tokenizer
        rows = random_rows(tokenizer, 4 * options.rows, options.tokens, seed=0)
        unaligned = weaker(base, Path(folder) / "unaligned")
        candidates = regularizers(options.only, tokenizer, options.tokens, unaligned)
        for method in options.methods:
            recipe = Recipe(method, rank=4, steps=options.steps, batch_size=options.rows,
                            precision=options.precision)
            report(measure(base, rows, candidates, recipe, options.rounds), method)


if __name__ == "__main__":
    main()
