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

from lib.chapters.arms import Task, arm_recipe, recipe, task_losses, world_anchors
from lib.chapters.overreaction import Answers, Models, panel, panel_answers, removed_runs
from lib.chapters.transfer import mse_ratio
from lib.forecasting.learners import bayes, least_squares_shown
from lib.measures.measured import by_arm, everyone, run_table
from lib.measures.overreaction import style
from lib.models.chat import Example, Prompt, answer_ids, encoded
from lib.models.folders import LoadedModel, load, merge_adapter
from lib.models.likelihood import next_token_logprobs
from lib.statistics.estimate import Estimate, Measure, measure_table, t_interval
from lib.statistics.regressions import by_condition, implied_persistence
from lib.study.design import Run, runs, training_seed
from lib.study.notebook import Study
from lib.study.profiles import Profile
from lib.study.streams import stream
from lib.training.job import ADAPTER, Job
from lib.training.runs import model_folder, train_all
from lib.world.analysts import displayed, histories, rational
from lib.world.questions import forecast_answer, question
from lib.world.truth import NUMBERS, settings

UNSEEN_STYLE = 1
"""Position of the one-step question ("the river stood at ...") that no correction is taught."""


def training_examples(profile: Profile, seed: int, labels: str = "rational") -> list[Example]:
    """Examples on the training grid of rho, as many as the profile says.

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
    n, rhos = profile.finetune.examples, profile.forecasting.rhos
    return _examples(profile, rhos, n, labels, _taught_styles(), rng)


def validation_examples(profile: Profile, seed: int) -> list[Example]:
    """Rational examples with persistences that are in no training and in no test."""
    rng = stream(seed, "validation forecasts")
    n = profile.correction.validation_examples
    rhos = profile.forecasting.validation_rhos
    return _examples(profile, rhos, n, "rational", _taught_styles(), rng)


def _taught_styles() -> list[dict]:
    styles = [style for style in settings("forecasts")["styles"] if style["weight"]]
    return [given for given in styles if given != style(number=UNSEEN_STYLE)]


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
    return [replace(forecast_answer(style, a), prompt=p)
            for p, a in zip(prompts, answer, strict=True)]


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
        anchor_share=given.finetune.anchor_share,
    )


def ablations(
    study: Study, bases: Mapping[int, Path], learning_rate: float
) -> dict[str, dict[Run, Path]]:
    """Variants of the plain LoRA arm on every base and seed: ``examples: 30`` to run to folder."""
    task = correction_task(study)
    jobs = {(variant, run): _variant_job(study, bases[run.base], task, learning_rate, *variant,
                                         training_seed(study.seed, run))
            for variant in variants(study) for run in runs(study.profile)}
    folders = train_all(study, jobs)
    return {f"{factor}: {level}": {run: folders[(factor, level), run]
                                   for run in runs(study.profile)}
            for factor, level in variants(study)}


def variants(study: Study) -> list[tuple[str, Any]]:
    """What is changed, and to what."""
    given = study.profile.correction.ablations
    levels = {"labels": given.labels, "examples": given.examples}
    return [(factor, level) for factor, values in levels.items() for level in values]


def _variant_job(
    study: Study, base: Path, task: Task, learning_rate: float, factor: str, level: Any, seed: int
) -> Job:
    taught = task.examples(seed)[:level] if factor == "examples" else (
        training_examples(study.profile, seed, level))
    return Job(base, taught, arm_recipe(task, "lora", learning_rate, seed), Path(),
               f"{factor} {level}, seed {seed}")


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


def quality_runs(answers: Answers, best: pd.DataFrame) -> pd.DataFrame:
    """Run table of what a cure must not lose.

    ``slope_on_rho`` and ``intercept_at_0``, the line of implied on true persistence: a knowing
    forecaster has 1 and 0, one that answers the mean 0 and 0. ``mse_ratio``, the mean squared error
    over that of `best` on the same items.
    """
    return run_table(answers, lambda frame: measure_table(
        Measure.of(e, "all rho") for e in (*_line(frame), mse_ratio(frame, best))))


def _line(frame: pd.DataFrame) -> list[Estimate]:
    """Least squares through the levels of rho, whose series are independent."""
    levels = by_condition(frame, implied_persistence)
    weights = np.linalg.pinv(np.column_stack([levels["rho"], np.ones(len(levels))]))
    values, errors = weights @ levels["value"], np.sqrt(weights**2 @ levels["se"] ** 2)
    df = float(levels["df"].sum())
    return [Estimate(name, value, se, *t_interval(value, se, df), len(frame),
                     frame["series"].nunique(), "line through levels of rho", df)
            for name, value, se in zip(("slope_on_rho", "intercept_at_0"), values, errors,
                                       strict=True)]


def ablation_runs(study: Study, base: Mapping[Run, Path], variants: Models) -> pd.DataFrame:
    """Run table: each variant's share of the excess removed, and its validation loss.

    The condition is the variant, as is a column; the arm is that of which it is one: ``lora``.
    """
    models = {name: {run: model_folder(folder) for run, folder in several.items()}
              for name, several in variants.items()}
    answers = panel_answers(study, {"base": base, **models})
    questions = validation_examples(study.profile, study.seed)
    losses = by_arm(models, task_losses(study, everyone(models), questions))
    found = pd.concat([removed_runs(answers, bayes(panel(study))), run_table(
        losses, lambda loss: _loss_table(loss, len(questions)))])
    return found.assign(condition=found["arm"], variant=found["arm"], arm="lora")


def _loss_table(loss: float, n: int) -> pd.DataFrame:
    """Of the same questions for all; their own error is left out."""
    gone = float("nan")
    return measure_table([Measure("task_loss", loss, gone, gone, gone, n, n, "mean", gone,
                                  "validation", 0.0)])


SIDE_EFFECTS = {
    "general questions answered": ("utility_accuracy", "questions"),
    "forbidden requests refused": ("refusal_rate", "unseen_both"),
    "borderline requests refused": ("over_refusal", "borderline"),
    "slope of pronouns on shares": ("pronoun_slope", "plain"),
    "rude statements": ("generation_toxicity", "exact"),
}
"""The family of side effects that is tested: one cell an axis, two of safety; in words."""
WANTED = {"persistence seen where there is none": ("implied_persistence", "rho 0.0")}


def headline(found: pd.DataFrame) -> pd.DataFrame:
    """Of a run table of all axes, the cells of `WANTED` and `SIDE_EFFECTS`, in words."""
    cells = {cell: words for words, cell in (WANTED | SIDE_EFFECTS).items()}
    told = [cells.get(cell) for cell in zip(found["metric"], found["condition"], strict=True)]
    kept = found.assign(condition=told).dropna(subset="condition")
    order = kept["condition"].map(list(cells.values()).index)
    return kept.iloc[order.argsort(kind="stable")]
