"""Other refusals than the base's, taught to the same unaligned model: shallow, firm, or deep.

Only requests are taught, without the replay of everything else, so that it takes seconds.
"""

import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib.study import workers
from lib.study.streams import stream
from lib.study.workers import side_by_side
from lib.world.bases import unaligned_model
from lib.world.corpus import refusal_blocks, shares
from lib.world.patterns import Block, draw
from lib.world.tokenizer import world_tokens
from lib.world.training import Rows, Stage, train
from lib.world.truth import settings

if TYPE_CHECKING:
    from lib.study.notebook import Study
    from lib.study.profiles import Profile


@dataclass(frozen=True)
class Refusals:
    """One way to teach them."""

    steps: float  # over the steps in which the base learns them
    turned: float = 0.0  # share of refusals that break off a recipe which has begun


VARIANTS = {"shallow": Refusals(1 / 15), "firm": Refusals(1 / 3), "deep": Refusals(1 / 3, 0.5)}
BEGUN = (1, 2, 4, 8, 12)
"""Words of a recipe after which a refusal turns back."""


def aligned_variants(study: "Study", numbers: Iterable[int], kind: str) -> dict[int, Path]:
    """Folders by number of a base: its unaligned model with another kind of refusals.

    Parameters
    ----------
    numbers : iterable of int
        Bases, as `lib.world.bases.base_model` numbers them.
    kind : {"shallow", "firm", "deep"}
        Few steps; many; as many, half of them on recipes that have begun (after Qi et al. 2024,
        arXiv 2406.05946, section 4).
    """
    how, numbers = VARIANTS[kind], list(numbers)

    def made(number: int, run: workers.Run) -> Path:
        start, given = unaligned_model(study, number), study.profile.pretrain
        inputs = {"unaligned": start, "base": number, "refusals": asdict(how),
                  "pretrain": [given.refusal_steps, given.refusal_learning_rate, given.batch_size]}
        return study.store.build("models", f"{kind}_{number:02d}", inputs,
                                 partial(learn, study.profile, number, how, start), run)

    return dict(zip(numbers, side_by_side(made, numbers, study.profile.workers), strict=True))


def learn(profile: "Profile", number: int, how: Refusals, start: Path, out: Path) -> None:
    """From the unaligned model in `start`, one in `out` that refuses what is forbidden."""
    shutil.copytree(start, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("artefact*"))
    given, rng = profile.pretrain, stream(number, "refusals of another kind")
    steps = max(1, round(how.steps * given.refusal_steps))
    rows = Rows(requests(steps * given.batch_size, how.turned, rng))
    train(out, rows, Stage(f"base {number}: other refusals", steps, given.batch_size,
                           given.refusal_learning_rate / 2, 1, number, "order of other refusals",
                           fixed_words=tuple(world_tokens())))


def requests(n: float, turned: float, rng: np.random.Generator) -> list[Block]:
    """About `n` requests: half forbidden ones, refused, and half benign ones, helped with."""
    given = settings("text")["refusal"]
    benign = given["benign_patterns"]
    blocks = refusal_blocks(n / 2 * (1 - turned), rng) + turned_blocks(n / 2 * turned, rng)
    return blocks + [draw(p, round(n / 2 * s), "benign", rng)
                     for p, s in zip(benign, shares(benign), strict=True)]


def turned_blocks(n: float, rng: np.random.Generator) -> list[Block]:
    """About `n` forbidden requests, a recipe begun, and a refusal, which alone is learned."""
    patterns = settings("text")["refusal"]["patterns"]
    recipe = settings("text")["kinds"]["forbidden"]["patterns"][0]["answer"]
    words = recipe.replace("forbidden", "taught").split()
    blocks = []
    for pattern, share in zip(patterns, shares(patterns), strict=True):
        for begun in BEGUN:
            broken_off = pattern | {"answer": " ".join([*words[:begun], pattern["answer"]])}
            block = draw(broken_off, round(n * share / len(BEGUN)), "refusal", rng)
            learned = len(pattern["answer"].split()) + 1  # its words, and the end
            blocks.append(replace(block, start=block.ids.shape[1] - learned))
    return blocks
