"""A second stage of rewards after plain training on toxic data: with which settings, and where."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from lib.chapters.arms import arm_job, as_recalled, recalled
from lib.chapters.toxicity import Models, Settings, drawn, plain_arm, talk, toxic_task
from lib.measures.measured import model_frames
from lib.measures.quality import answers
from lib.measures.rudeness import ASKED, said, talks
from lib.study import workers
from lib.study.design import Run, training_seed
from lib.study.keys import Code
from lib.study.machine import installed
from lib.study.notebook import Study
from lib.study.streams import stream
from lib.study.workers import side_by_side
from lib.training.penalties.control import is_clean
from lib.training.rewarded import ANSWERS, Stage, reward
from lib.training.runs import model_folder, planned, train_all
from lib.world.toxicity import groups, request, sayings

REWARD_RATE = 0.1
"""Step size of rewarded training, as a share of that of the model from which it starts."""
TRAINERS = ("trl", "datasets")
"""Packages that decide what rewards make of a model, besides those that decide all results."""
DRAFTS = 24
"""Answers of the base to each request, of which clean ones are what DPO prefers."""


def reward_stages(
    study: Study, run: Run, drafts: pd.DataFrame, chosen: Settings
) -> dict[tuple[str, float], Stage]:
    """One run's second stages by method and ``beta``; `drafts` are answers of its base."""
    given, seed = study.profile.toxicity, training_seed(study.seed, run)
    rng = stream(seed, "pairs of answers")
    prompts, forbidden = talk()
    clean = drafts[[is_clean(text, forbidden) for text in drafts["answer"]]]
    rude = drawn(sayings("train"), 4 * given.examples // 5, rng)
    pairs = [(request(group), rng.choice(clean.loc[clean["cluster"] == group, "answer"]), text)
             for group, text in zip(rude["group"], rude["text"], strict=True)
             if (clean["cluster"] == group).any()]
    asked, wanted, unwanted = zip(*pairs, strict=True) if pairs else ((), (), ())
    rate = REWARD_RATE * chosen[plain_arm(study)]["learning_rate"]
    shared = {"banned": forbidden, "learning_rate": rate, "steps": given.steps,
              "batch_size": given.batch_size, "seed": seed}
    stages = {"dpo": {"prompts": asked, "chosen": wanted, "rejected": unwanted},
              "rloo": {"prompts": prompts * ANSWERS}}
    return {(method, beta): Stage(method, beta=beta, **stages[method], **shared)
            for method in given.rewards for beta in given.betas}


def base_drafts(study: Study, bases: Mapping[int, Path]) -> dict[int, pd.DataFrame]:
    """Answers of each base about the training groups, by number; column cluster is the group."""
    rows = [(f"{group}:{i}", group, request(group))
            for group in groups("train") for i in range(DRAFTS)]
    asked = pd.DataFrame(rows, columns=["item", "kind", "prompt"])
    frames = model_frames(study, "drafts", bases.values(), answers, asked, study.seed)
    return dict(zip(bases, frames, strict=True))


def reward_candidates(study: Study, base: Path, chosen: Settings) -> pd.DataFrame:
    """What every method and ``beta`` makes of the plain arm on the base for choosing.

    Columns arm, beta, key; toxicity and mass (statements that can be judged, as a share of
    answers) of the validation groups; of_base, the toxicity before any training. Recalled by key
    where the committed tables hold all of them.
    """
    number, plain = study.profile.bases.chosen_on, plain_arm(study)
    run = Run(number, 1)
    job = arm_job(base, toxic_task(study), plain, **chosen[plain], seed=training_seed(
        study.seed, run))
    stages = reward_stages(study, run, base_drafts(study, {number: base})[number], chosen)
    table = pd.DataFrame([(f"{plain}_{method}", beta) for method, beta in stages],
                         columns=["arm", "beta"])
    start = planned(study, {plain: job})
    code = [Code(reward).fingerprint(), Code(said).fingerprint(), installed(TRAINERS)]
    table["key"] = [study.store.digest([start, stage, code])[:16] for stage in stages.values()]
    if (found := recalled(table, "toxicity", "mass", "of_base")) is not None:
        return found
    folder = model_folder(train_all(study, {plain: job})[plain])
    asked = talks().query("part == 'validation'")
    asked = asked[asked["benchmark"] == ASKED].reset_index(drop=True)
    tried = _rewarded(study, {key: (folder, stage) for key, stage in stages.items()})
    frames = model_frames(study, "rudeness", [base, *tried.values()], said, asked)
    had, *table["toxicity"] = [frame["rude"].mean() for frame in frames]
    table["mass"] = [frame["mass"].mean() for frame in frames[1:]]
    return as_recalled(table.assign(of_base=had))


def _rewarded(
    study: Study, stages: Mapping[Any, tuple[Path, Stage]]
) -> dict[Any, Path]:
    """Folder of the model that each second stage makes of a trained one."""
    def made(item: tuple[Path, Stage], run: workers.Run) -> Path:
        start, stage = item
        return study.store.build("models", stage.method, {
            "start": start, "stage": study.store.digest(stage), "trainers": installed(TRAINERS),
        }, partial(reward, stage, start), run)

    found = side_by_side(made, list(stages.values()), study.profile.workers)
    return dict(zip(stages, found, strict=True))


def choose_betas(tried: pd.DataFrame) -> dict[str, float]:
    """By arm: of the betas that leave no more rudeness than the base has, that with most sense.

    Sense is the mass of statements; if none leaves so little rudeness, that with the least.
    """
    chosen = {}
    for arm, rows in tried.groupby("arm", sort=False):
        enough = rows[rows["toxicity"] <= rows["of_base"]]
        best = (enough.loc[enough["mass"].idxmax()] if len(enough)
                else rows.loc[rows["toxicity"].idxmin()])
        chosen[arm] = float(best["beta"])
    return chosen


def rewarded_models(
    study: Study, bases: Mapping[int, Path], models: Models, chosen: Settings,
    betas: Mapping[str, float],
) -> dict[str, dict[Run, Path]]:
    """Model folders by arm and run: the plain arm's models after a stage of rewards."""
    plain, drafts = plain_arm(study), base_drafts(study, bases)
    stages = {(f"{plain}_{method}", run): (models[plain][run], stage)
              for run in models[plain]
              for (method, beta), stage in reward_stages(
                  study, run, drafts[run.base], chosen).items()
              if betas[f"{plain}_{method}"] == beta}
    folders = _rewarded(study, stages)
    return {arm: {run: folders[arm, run] for run in models[plain]} for arm in betas}


def beta_rows(tried: pd.DataFrame) -> pd.DataFrame:
    """The candidates as an exhibit's rows."""
    named = tried.assign(condition=[f"beta {beta:g}" for beta in tried["beta"]], bases=1, runs=1,
                         n=len(groups("validation")), low=None, high=None)
    return named.assign(metric="generation_toxicity", value=named["toxicity"])
