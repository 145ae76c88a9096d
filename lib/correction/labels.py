"""The correction of extrapolation bias: rational answers, taught by LoRA, merged."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lib.finetune import Example, Job, Recipe, finetune_many
from lib.models import load, merge_adapter
from lib.sandbox.analysts import chat_matrix, histories
from lib.sandbox.tokenizer import END, number_id
from lib.sandbox.world import NUMBERS, settings

if TYPE_CHECKING:
    from lib.profiles import Profile
    from lib.study import Study

UNSEEN_STYLE = 1
"""Position of the one-step question ("the river stood at ...") that no correction is taught."""


def rational_examples(profile: "Profile", seed: int) -> list[Example]:
    """Histories paired with full-information forecasts, ``mu + rho^h (x_t - mu)``, rounded.

    Histories come from the training grid of rho only, with the world's spreads and all ways of
    asking but one; horizons one and two in the world's proportions. The neutral prompt only.
    """
    given, rng = settings("forecasts"), np.random.default_rng([seed, 11])
    one_step = [s for s in given["styles"] if s.get("horizon", 1) == 1]
    styles = [s for s in given["styles"] if s is not one_step[UNSEEN_STYLE]]
    each = -(-profile.finetune.examples // len(styles))
    examples = [e for style in styles for e in _examples(style, each, profile, rng)]
    return examples[: profile.finetune.examples]


def _examples(style: dict, n: int, profile: "Profile", rng: np.random.Generator) -> list[Example]:
    given = settings("forecasts")
    rho, sigma = rng.choice(profile.forecasting.rhos, n), rng.choice(given["sigmas"], n)
    shown = histories(rho, sigma, profile.forecasting.history, rng)
    target = given["mu"] + rho ** style.get("horizon", 1) * (shown[:, -1] - given["mu"])
    answer = number_id(np.clip(np.rint(target), NUMBERS[0], NUMBERS[-1]).astype(int))
    prompts, _ = chat_matrix(style, "neutral", shown, rho)
    return [Example(p, [int(a), END]) for p, a in zip(prompts.tolist(), answer, strict=True)]


def arm_seeds(study: "Study") -> list[int]:
    """Training seeds of every arm of this run."""
    return [study.seed + i for i in range(study.profile.arm_seeds)]


def corrected(study: "Study", base: Path) -> dict[int, Path]:
    """LoRA corrections of a base model, one per training seed; trained if not in the store.

    Returns
    -------
    dict of int to Path
        Seed to a folder that holds ``adapter`` and ``merged``, each in standard form.
    """
    seeds, settings_ = arm_seeds(study), study.profile.finetune.model_dump()
    inputs = {"base": base, "finetune": settings_, "seeds": seeds,
              "rhos": study.profile.forecasting.rhos}
    folder = study.store.build("models", "lora", inputs,
                               lambda out: _train(study.profile, base, seeds, out), code=[__name__])
    return {seed: folder / f"seed_{seed}" for seed in seeds}


def _train(profile: "Profile", base: Path, seeds: list[int], out: Path) -> None:
    given = profile.finetune
    jobs = [
        Job(base, rational_examples(profile, seed),
            Recipe("lora", given.rank, int(given.alpha), tuple(given.targets),
                   given.learning_rate, given.steps, given.batch_size, seed),
            out / f"seed_{seed}" / "adapter", f"correction, seed {seed}")
        for seed in seeds
    ]
    figures = finetune_many(jobs, min(profile.pretrain.workers, len(jobs)))
    for seed in seeds:
        folder = out / f"seed_{seed}"
        merge_adapter(base, folder / "adapter", folder / "merged")
    pd.DataFrame(figures, index=pd.Index(seeds, name="seed")).to_csv(out / "training.csv")


def training_figures(folders: dict[int, Path]) -> pd.DataFrame:
    """First and last loss, tokens seen, trainable and total parameters of each seed."""
    first = next(iter(folders.values()))
    return pd.read_csv(first.parent / "training.csv", index_col="seed")


def merged_gap(base: Path, folder: Path, prompts: list[list[int]]) -> float:
    """Largest difference of log-probabilities between adapter and merged model, any prompt."""
    from lib.scoring import next_token_logprobs

    numbers = [number_id(n) for n in NUMBERS]
    with_adapter = next_token_logprobs(load(folder / "adapter"), prompts, numbers)
    return float(np.abs(with_adapter - next_token_logprobs(load(folder / "merged"), prompts,
                                                           numbers)).max())
