"""Cost of a regularised step over a plain one, side by side.

    python -m benchmarks.regularised_step [--steps 15] [--rounds 3] [--rows 64] [--tokens 17]

Every regulariser of `lib.regularizers` and plain training tune the same untrained model of the
sandbox profile's size on the same random rows, full and LoRA; a row is half prompt, half answer.
Anchors have as many tokens; every other one is plain text, of which each position is scored.

Each is timed at `steps` and at `2 * steps`, and the difference holds the steps alone: reference
log-probabilities, Fisher information, the projection and the final drift are shown apart, in
seconds. In each round plain training comes first and all others follow, and the ratio is that of
medians over rounds. Timed is the processor time of this one-threaded process, so that a busy
machine spoils little; on an idle one it is wall-clock time.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file

from lib.finetune import Example, Recipe, Regularizer, finetune
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


def regularizers(tokens: int, unaligned: Path) -> dict[str, Regularizer | None]:
    """Plain training and one of each kind."""
    rows = random_rows(ANCHORS, tokens, seed=1)
    texts = text_anchors([[START, *row.prompt, *row.answer][:tokens] for row in rows[::2]])
    anchors = [*rows[1::2], *texts]
    return {
        "plain": None, "kl": KL(anchors), "adaptive": AdaptiveKL(anchors),
        "tokenwise": TokenWise(), "l2sp": L2SP(1.0), "ewc": EWC(anchors),
        "mixing": Mixing(anchors), "projection": Projection(unaligned, 1.0),
    }


def seconds(
    base: Path, rows: list[Example], recipe: Recipe, regularizer: Regularizer | None
) -> float:
    """Processor time of one training."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        finetune(base, rows, recipe, folder, "timing", regularizer)
        return time.process_time() - start


def measure(
    base: Path, rows: list[Example], candidates: dict[str, Regularizer | None],
    method: str, options: argparse.Namespace,
) -> dict[str, tuple[float, float]]:
    """Seconds a step, and seconds apart from the steps; medians over rounds."""
    def recipe(steps: int) -> Recipe:
        return Recipe(method, rank=4, steps=steps, batch_size=options.rows)

    step, apart = ({name: [] for name in candidates} for _ in range(2))
    for regularizer in candidates.values():
        seconds(base, rows, recipe(1), regularizer)  # imports and first-time costs
    for _ in range(options.rounds):
        for name, regularizer in candidates.items():
            few, many = (seconds(base, rows, recipe(n * options.steps), regularizer)
                         for n in (1, 2))
            step[name].append((many - few) / options.steps)
            apart[name].append(2 * few - many)
    return {name: (statistics.median(step[name]), statistics.median(apart[name]))
            for name in candidates}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("steps", 15), ("rounds", 3), ("rows", 64), ("tokens", 17)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    rows = random_rows(4 * options.rows, options.tokens, seed=0)
    print(f"{options.rows} rows of {options.tokens} tokens a step; {ANCHORS} anchors, of which "
          f"{KL.per_step} a step; medians of {options.rounds} rounds", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        base, unaligned = models(Path(folder))
        candidates = regularizers(options.tokens, unaligned)
        for method in ("full", "lora"):
            found = measure(base, rows, candidates, method, options)
            plain = found["plain"][0]
            print(f"{method:12}{'ms a step':>12}{'ratio':>8}{'apart, s':>10}")
            for name, (step, apart) in found.items():
                print(f"{name:12}{1000 * step:12.1f}{step / plain:8.2f}{apart:10.2f}", flush=True)


if __name__ == "__main__":
    main()
