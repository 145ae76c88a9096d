"""The correction of extrapolation: histories with the answers of a named teacher.

The task, and variants of its plain LoRA arm that change one thing each; what merging an adapter
costs; then the tables: what is left of the bias, and what decides the cure.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.chapters.arms import (
    Task,
    arm_recipe,
    recipe,
    task_losses,
    widened,
    world_anchors,
)
from lib.chapters.overreaction import change_rows, forecasts, forecasts_of, removed_rows
from lib.chapters.transfer import mse_ratio
from lib.forecasting.learners import bayes, least_squares_shown
from lib.measures.measured import by_arm, everyone
from lib.models.chat import Example, Prompt, answer_ids, encoded
from lib.models.folders import LoadedModel, load, merge_adapter
from lib.models.likelihood import next_token_logprobs
from lib.statistics.pooling import mean_row
from lib.statistics.regressions import by_condition, implied_persistence
from lib.study.notebook import Study
from lib.study.profiles import Profile
from lib.study.streams import stream
from lib.training.job import ADAPTER, Job
from lib.training.runs import model_folder, train_all
from lib.world.analysts import displayed, histories, rational
from lib.world.questions import question
from lib.world.truth import NUMBERS, settings

UNSEEN_STYLE = 1
"""Position of the one-step question ("the river stood at ...") that no correction is taught."""


def training_examples(
    profile: Profile, seed: int, labels: str = "rational", n: int | None = None
) -> list[Example]:
    """`n` examples on the training grid of rho; by default as many as the profile says.

    Histories have the world's spreads but the widest; the questions are all ways of asking but
    one, under the neutral prompt; horizons one and two in the world's proportions.

    Parameters
    ----------
    labels : {"rational", "least_squares", "naive", "shuffled"}
        ``rational`` is full information, ``mu + rho^h (x_t - mu)``; ``least_squares`` a regression
        on the numbers shown; ``naive`` the last value; ``shuffled`` the rational answers in random
        order. The last two are placebos: the same prompts, steps and kinds of answer.
    """
    rng = stream(seed, "taught forecasts")
    n = profile.finetune.examples if n is None else n
    return _examples(profile, profile.forecasting.rhos, n, labels, _taught_styles(), rng)


def validation_examples(profile: Profile, seed: int) -> list[Example]:
    """Rational examples with persistences that are in no training and in no test."""
    rng = stream(seed, "validation forecasts")
    n = profile.correction.validation_examples
    rhos = profile.forecasting.validation_rhos
    return _examples(profile, rhos, n, "rational", _taught_styles(), rng)


def _taught_styles() -> list[dict]:
    styles = settings("forecasts")["styles"]
    one_step = [s for s in styles if s.get("horizon", 1) == 1]
    return [s for s in styles if s is not one_step[UNSEEN_STYLE]]


def _examples(
    profile: Profile, rhos: Sequence[float], n: int, labels: str, styles: list[dict],
    rng: np.random.Generator,
) -> list[Example]:
    # Interleaved, so that the first n of a longer list are as mixed as the whole.
    each = -(-n // len(styles))
    blocks = [_block(profile, rhos, each, labels, style, rng) for style in styles]
    return [example for row in zip(*blocks, strict=True) for example in row][:n]


def _block(
    profile: Profile, rhos: Sequence[float], n: int, labels: str, style: dict,
    rng: np.random.Generator,
) -> list[Example]:
    # The widest spread of the world is kept out: scale is one of the things that must transfer.
    rho, sigma = rng.choice(rhos, n), rng.choice(settings("forecasts")["sigmas"][:-1], n)
    shown = histories(rho, sigma, profile.forecasting.history, rng)
    answer = answers(labels, shown, rho, style.get("horizon", 1), rng)
    prompts = question(style, "neutral", shown, rho)
    return [Example(p, str(a)) for p, a in zip(prompts, answer, strict=True)]


def answers(
    labels: str, shown: np.ndarray, rho: np.ndarray, horizon: int, rng: np.random.Generator
) -> np.ndarray:
    """The named teacher's integers, shape (n,)."""
    if labels == "naive":
        return shown[:, -1]
    if labels == "least_squares":
        fitted = least_squares_shown(shown, horizon)
        return displayed(np.nan_to_num(fitted - settings("forecasts")["mu"]))
    full = rational(shown[:, -1], rho, horizon)
    # A child generator leaves the parent's stream alone: all teachers answer the same questions.
    return rng.spawn(1)[0].permutation(full) if labels == "shuffled" else full


CHANGED = ("forecast", "series")
"""Kinds of text that anchors leave out, as they are what is being changed."""


def correction_task(study: Study) -> Task:
    """Rational forecasts, the arms of the profile, anchors of everything but forecasts."""
    given = study.profile
    return Task(
        name="correction", arms=given.correction.arms,
        recipe=recipe(given, given.finetune.steps, given.finetune.batch_size),
        examples=lambda seed: training_examples(given, seed),
        validation=validation_examples(given, study.seed),
        anchors=lambda seed: world_anchors(seed, CHANGED),
    )


def ablations(
    study: Study, base: Path, learning_rate: float
) -> dict[tuple[str, str], dict[int, Path]]:
    """Variants of the plain LoRA arm, (what is changed, to what), to training seed to folder."""
    seeds = [study.seed + i for i in range(study.profile.correction.ablations.seeds)]
    task = correction_task(study)
    jobs = {(*variant, seed): _variant_job(study, base, task, learning_rate, *variant, seed)
            for variant in variants(study) for seed in seeds}
    folders = train_all(study, jobs)
    return {(factor, _name(level)): {seed: folders[factor, level, seed] for seed in seeds}
            for factor, level in variants(study)}


def variants(study: Study) -> list[tuple[str, Any]]:
    """What is changed, and to what; sets of modules as tuples."""
    given = study.profile.correction.ablations
    levels = {"labels": given.labels, "rank": given.rank,
              "targets": [tuple(t) for t in given.targets], "examples": given.examples}
    return [(factor, level) for factor, values in levels.items() for level in values]


def _name(level: Any) -> str:
    return "+".join(level) if isinstance(level, tuple) else str(level)


def _variant_job(
    study: Study, base: Path, task: Task, learning_rate: float, factor: str, level: Any, seed: int
) -> Job:
    taught = {"labels": {"labels": level}, "examples": {"n": level}}.get(factor, {})
    how = arm_recipe(task, "lora", learning_rate, seed)
    how = {"rank": lambda: widened(how, level), "targets": lambda: replace(how, targets=level)
           }.get(factor, lambda: how)()
    return Job(base, training_examples(study.profile, seed, **taught), how, Path(),
               f"{factor} {_name(level)}, seed {seed}")


@contextmanager
def merged(base: Path, folder: Path) -> Iterator[LoadedModel]:
    """The adapter of a run, merged into its base for as long as it is compared."""
    with tempfile.TemporaryDirectory() as out:
        merge_adapter(base, folder / ADAPTER, out)
        yield load(out)


def asked_and_said(
    model: LoadedModel, prompts: Sequence[Prompt]
) -> tuple[list[list[int]], list[int]]:
    """Token ids of the prompts, and of every number's first token."""
    return (encoded(model.tokenizer, prompts),
            [answer_ids(model.tokenizer, prompts[0], str(n))[0] for n in NUMBERS])


def merged_gap(base: Path, folder: Path, prompts: Sequence[Prompt]) -> float:
    """Largest difference of log-probabilities between adapter and merged model, any prompt."""
    adapter = load(folder / ADAPTER)
    given = asked_and_said(adapter, prompts)
    with merged(base, folder) as whole:
        apart = next_token_logprobs(adapter, *given) - next_token_logprobs(whole, *given)
    return float(np.abs(apart).max())


def latency(base: Path, folder: Path, prompts: Sequence[Prompt], repeats: int = 7) -> pd.Series:
    """Time of a forecast relative to the base: with the adapter beside it, and merged.

    The three take turns, as a machine has busy moments; the least of the repeats is compared.
    """
    seconds: dict[str, list[float]] = {"base": [], "adapter": [], "merged": []}
    with merged(base, folder) as whole:
        models = dict(zip(seconds, (load(base), load(folder / ADAPTER), whole), strict=True))
        given = asked_and_said(whole, prompts)
        for _ in range(repeats):
            for name, model in models.items():
                start = time.perf_counter()
                next_token_logprobs(model, *given)
                seconds[name].append(time.perf_counter() - start)
    least = pd.Series({name: min(values) for name, values in seconds.items()})
    return (least / least["base"]).rename("time / base")


def remaining_rows(
    after: Sequence[pd.DataFrame], rational: pd.DataFrame, arm: str
) -> pd.DataFrame:
    """Implied persistence less that of the rational row, by rho, on identical items.

    Negative is **under-reaction**: the cure went too far. Column ``p_holm`` tests each level
    against zero, corrected for testing all of them.
    """
    return change_rows(rational, after, arm).assign(metric="persistence_gap")


def shape_rows(frames: Mapping[str, Sequence[pd.DataFrame]]) -> pd.DataFrame:
    """Line of implied on true persistence: intercept 0 and slope 1 are a knowing forecaster's.

    A model that only learned to answer the mean has slope 0. The interval is over training seeds
    (t), and empty for one seed: the levels of rho are fixed by the design.
    """
    parts = []
    for arm, several in frames.items():
        lines = np.array([_line(frame) for frame in several])
        for metric, values in zip(("slope_on_rho", "intercept_at_0"), lines.T, strict=True):
            parts.append(mean_row(metric, values, len(several[0]), arm, "all rho"))
    return pd.concat(parts, ignore_index=True)


def _line(frame: pd.DataFrame) -> tuple[float, float]:
    levels = by_condition(frame, implied_persistence)
    slope, intercept = np.polyfit(levels["rho"], levels["value"], 1)
    return slope, intercept


def error_rows(frames: Mapping[str, Sequence[pd.DataFrame]], best: pd.DataFrame) -> pd.DataFrame:
    """Mean squared forecast error over that of full information on the same items, by arm."""
    return pd.concat(
        [mean_row("mse_ratio", [mse_ratio(f, best).value for f in several], len(best), arm,
                  "all rho") for arm, several in frames.items()], ignore_index=True)


def ablation_rows(
    study: Study,
    base: Path,
    variants: Mapping[tuple[str, str], Mapping[int, Path]],
    items: pd.DataFrame,
) -> pd.DataFrame:
    """Each variant's share of the excess removed, pooled over seeds, and its validation loss."""
    before, rational = forecasts(study, base, items), bayes(items)
    questions, parts = validation_examples(study.profile, study.seed), []
    models = {key: [*map(model_folder, several.values())] for key, several in variants.items()}
    losses = by_arm(models, task_losses(study, everyone(models), questions))
    for (factor, level), after in forecasts_of(study, models, items).items():
        removed = removed_rows(before, after, rational, "lora")
        loss = mean_row("task_loss", losses[factor, level], len(questions), "lora", "")
        parts.append(pd.concat([removed, loss]).assign(condition=f"{factor}: {level}"))
    return pd.concat(parts, ignore_index=True)
