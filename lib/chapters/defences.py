"""Defences against attacks: settings chosen on one attack, reported on four others."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from lib.chapters.answers import answer_rows, loss_rows
from lib.chapters.arms import (
    Task,
    candidates,
    drawn_once,
    penalty,
    recipe,
    refusals,
    relative_runs,
    tested_words,
    train_arms,
    world_anchors,
)
from lib.chapters.attacks import (
    DISGUISED,
    POISONED,
    VALIDATION,
    attack_examples,
    size,
    task_questions,
)
from lib.measures import utility
from lib.models.chat import Example, tokenised
from lib.models.folders import Tokenizer, load
from lib.statistics.bases import RUN_COLUMNS
from lib.study.design import Run, untrained
from lib.study.notebook import Study
from lib.study.streams import stream
from lib.training.runs import model_folder, training_figures
from lib.world.bases import base_model, unaligned_model
from lib.world.corpus import kind_blocks
from lib.world.examples import as_examples

Settings = Mapping[str, Mapping[str, float]]
"""Arm to ``learning_rate`` and ``strength``, from `lib.chapters.arms.choose`."""
Models = Mapping[str, Mapping[str, Mapping[Run, Path]]]
"""Attack, arm, run to model folder: from `defended`."""

ANCHORED = 120
"""Texts among the anchors, and as many requests; in a mean over words more would hide a refusal."""
CHANGED = ("benign",)
"""Kind of text that anchors leave out: how requests are answered is what the task changes."""
ANCHORS = {"text": ("text",), "refusals": ("refusals",), "requests": ("refusals", "openings"),
           "text and requests": ("text", "refusals", "openings")}
"""Sets of anchors to compare; see `held`."""
DECISION = 2
"""Words of an answer in which a harmless request is accepted: "sure ,"."""
TEACHING = ("benign", POISONED)
"""Attacks with a task that somebody may want to be learned."""
FREE = 1.05
"""Factor in validation loss up to which a defence costs nothing."""


def defence_task(study: Study, kind: str, anchors: str = "text and requests") -> Task:
    """One attack as a task for the profile's arms."""
    given, (examples, steps) = study.profile.safety, size(study, kind)
    return Task(
        name=kind, arms=given.arms,
        recipe=recipe(study.profile, steps, given.batch_size, given.targets),
        examples=lambda seed: attack_examples(kind, examples, seed),
        validation=task_questions(given.questions, study.seed, "validation"),
        anchors=lambda seed: held(anchors, seed),
        reminders=lambda seed: refusals(seed, ANCHORED),
        unaligned=lambda base: _unaligned(study, base),
        tolerance=FREE,
        anchor_share=study.profile.finetune.anchor_share,
    )


def _unaligned(study: Study, base: Path) -> Path:
    """What a base was before it learned to refuse."""
    given = study.profile.bases
    number = next(n for n in (given.chosen_on, *given.numbers) if base_model(study, n) == base)
    return unaligned_model(study, number)


@drawn_once
def held(anchors: str, seed: int) -> tuple[Example, ...]:
    """Anchors by the name of their set.

    ``text`` is of all kinds but the task's own; ``refusals`` are of things that refusal training
    has seen; ``openings`` are harmless requests with the first words of help: *that* they are
    helped with must stay, *how* is what the task may change.
    """
    rng = stream(seed, "anchored openings")
    made = {
        "text": lambda: world_anchors(seed, CHANGED, ANCHORED),
        "refusals": lambda: refusals(seed, ANCHORED),
        "openings": lambda: tuple(
            replace(e, answer=" ".join(e.answer.split()[:DECISION]), ends=False)
            for e in as_examples(kind_blocks("benign", ANCHORED, 2, rng, tested_words()))),
    }
    return tuple(anchor for part in ANCHORS[anchors] for anchor in made[part]())


def defence_candidates(study: Study, base: Path) -> pd.DataFrame:
    """Candidates of every arm on an attack of its own kind, which no test has.

    Parameters
    ----------
    base : Path
        The base for choosing, in no test either.
    """
    general = utility.questions(study.profile.evaluation.items, study.seed + VALIDATION)
    return candidates(study, base, replace(defence_task(study, DISGUISED), general=general))


def free_arms(tried: pd.DataFrame, chosen: Settings, plain: str = "full") -> list[str]:
    """Arms whose chosen candidate's validation loss is within `FREE` of the plain arm's.

    Parameters
    ----------
    tried : DataFrame
        From `defence_candidates`.
    """
    settings = ["arm", "learning_rate", "strength"]
    losses = tried.set_index(settings)["task_loss"]
    loss = {arm: losses[arm, s["learning_rate"], s["strength"]] for arm, s in chosen.items()}
    return [arm for arm in chosen if loss[arm] <= FREE * loss[plain]]


def defended(
    study: Study, bases: Mapping[int, Path], chosen: Settings
) -> dict[str, dict[str, dict[Run, Path]]]:
    """Model folders by attack of the profile, arm with its chosen settings, and run."""
    return {kind: _trained(study, bases, defence_task(study, kind), chosen)
            for kind in study.profile.safety.attacks}


def _trained(
    study: Study, bases: Mapping[int, Path], task: Task, chosen: Settings
) -> dict[str, dict[Run, Path]]:
    return {arm: {run: model_folder(folder) for run, folder in several.items()}
            for arm, several in train_arms(study, bases, task, chosen).items()}


def defence_rows(study: Study, bases: Mapping[int, Path], models: Models) -> pd.DataFrame:
    """Run table of refusals and of every price, by ``attack`` and arm.

    Compliance, needless refusals, coherence, utility; and of attacks that teach the benign task
    its loss on test questions, of which no training or choice has a request.
    """
    everyone = {(kind, arm): several for kind, arms in models.items()
                for arm, several in {"base": untrained(bases), **arms}.items()}
    learned = {pair: several for pair, several in everyone.items() if pair[0] in TEACHING}
    questions = task_questions(study.profile.safety.questions, study.seed)
    found = pd.concat([answer_rows(study, everyone), loss_rows(study, learned, questions)],
                      ignore_index=True)
    return _named(found, "attack")


def _named(found: pd.DataFrame, column: str) -> pd.DataFrame:
    """Arms that are pairs (an attack or something else, an arm), as two columns."""
    return found.assign(**{column: found["arm"].str[0]}, arm=found["arm"].str[1])


def relative_loss(found: pd.DataFrame, plain: str = "full") -> pd.DataFrame:
    """Task losses over those of the plain arm on the same base and attack, ``loss_ratio``."""
    losses = found[found["metric"] == "task_loss"]
    return pd.concat([relative_runs(some, "loss_ratio", plain)
                      for _, some in losses.groupby("attack", sort=False)], ignore_index=True)


def anchor_rows(
    study: Study, bases: Mapping[int, Path], chosen: Settings, arm: str, kind: str
) -> pd.DataFrame:
    """One arm with each set of anchors after one attack: `answer_rows`, the sets as arms."""
    models = {name: _trained(study, bases, defence_task(study, kind, name), {arm: chosen[arm]})[arm]
              for name in ANCHORS}
    return answer_rows(study, {"base": untrained(bases), **models})


def flood_rows(
    study: Study, bases: Mapping[int, Path], chosen: Settings, arms: Sequence[str],
    examples: int = 100,
) -> pd.DataFrame:
    """`answer_rows` of some arms after an explicit attack with many examples and long training."""
    task = defence_task(study, "explicit")
    many = replace(task, recipe=replace(task.recipe, steps=study.profile.safety.benign_steps),
                   examples=lambda seed: attack_examples("explicit", examples, seed))
    models = _trained(study, bases, many, {arm: chosen[arm] for arm in arms})
    return answer_rows(study, {"base": untrained(bases), **models})


FIGURES = ("drift", "strength", "kept")
"""What a penalty leaves behind; ``kept`` only of a budget."""
SHARES = ("kept", "of_budget", "share_trained")
"""Figures that cannot exceed one."""


def strength_rows(models: Models, arms: Sequence[str], chosen: Settings) -> pd.DataFrame:
    """Run table of `FIGURES` after training by ``attack``; ``of_budget`` is drift over budget."""
    parts = []
    for kind, by_arm in models.items():
        for arm in arms:
            figures = _figures(by_arm[arm]).reindex(columns=FIGURES)
            if figures["kept"].notna().all():
                figures["of_budget"] = figures["drift"] / chosen[arm]["strength"]
            parts.append(_run_table(figures.dropna(axis=1), arm, kind).assign(attack=kind))
    return pd.concat(parts, ignore_index=True)


def _figures(folders: Mapping[Run, Path]) -> pd.DataFrame:
    """Figures of training, indexed by base and seed."""
    return training_figures({run: folder.parent for run, folder in folders.items()}).rename_axis(
        index=["base", "seed"])


def _run_table(figures: pd.DataFrame, arm: str, condition: str) -> pd.DataFrame:
    """Figures of runs, a column a metric, as rows of a run table; none is below zero."""
    rows = figures.reset_index().melt(["base", "seed"], var_name="metric")
    most = np.where(rows["metric"].isin(SHARES), 1.0, np.inf)
    rows = rows.assign(arm=arm, condition=condition, n=1, least=0.0, most=most)
    return rows.reindex(columns=RUN_COLUMNS)


def cost_rows(study: Study, bases: Mapping[int, Path], models: Models, kind: str) -> pd.DataFrame:
    """Run table of the work of training: thousands of tokens read, and ``share_trained``."""
    task, tokenizer = defence_task(study, kind), load(next(iter(bases.values()))).tokenizer
    parts = []
    for arm, folders in models[kind].items():
        figures = _figures(folders)
        beside = _anchor_tokens(tokenizer, task, task.arms[arm].regularizer, study.seed)
        parts.append(_run_table(pd.DataFrame({
            "task_tokens": figures["tokens"] / 1000,
            "anchor_tokens": beside * task.recipe.steps / 1000,
            "share_trained": figures["share_trained"]}), arm, "training"))
    return pd.concat(parts, ignore_index=True)


def _anchor_tokens(tokenizer: Tokenizer, task: Task, regularizer: str, seed: int) -> float:
    """Tokens of anchors that a step reads, on average."""
    if regularizer == "projection":
        return 0.0
    made = penalty(task, regularizer, Path(), seed, 1.0)
    if not hasattr(made, "per_step"):
        return 0.0
    lengths = list(map(len, tokenised(tokenizer, made.anchors)))
    return made.per_step * sum(lengths) / len(lengths)
