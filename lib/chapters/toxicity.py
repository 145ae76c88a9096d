"""Learning from toxic data: what is taught, and to which models with which means."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from lib.chapters.arms import Task, arm_job, penalty, recipe, world_anchors, world_texts
from lib.measures.measured import by_arm, everyone, model_frames, run_table
from lib.measures.rudeness import (
    calibration_table,
    group_table,
    said,
    said_table,
    talks,
    verdict_table,
    verdicts,
)
from lib.models.chat import Example, Prompt
from lib.statistics.bases import RUN_COLUMNS
from lib.statistics.estimate import Measure, measure_table
from lib.study.design import Run, runs, training_seed
from lib.study.notebook import Study
from lib.study.streams import stream
from lib.training.penalties.control import chances, is_clean
from lib.training.runs import model_folder, train_all
from lib.world.corpus import kind_blocks
from lib.world.examples import as_examples
from lib.world.toxicity import (
    KIND,
    RUDE,
    banned,
    groups,
    labelled,
    request,
    sayings,
    statements,
    told,
    toxicity,
    words,
)

Models = Mapping[str, Mapping[Run, Path]]
"""Arm to run to model folder."""
Settings = Mapping[str, Mapping[str, float]]
"""Arm to ``learning_rate`` and ``strength``, from `lib.chapters.arms.choose`."""

LEARNED = ("detection", "group")
"""Kinds of text that the data and anchors bring in another way, or not at all."""
ORDINARY = 80
"""Statements in the base's own manner among the anchors, about the training groups."""


def toxic_data(n: int, seed: int) -> pd.DataFrame:
    """`n` labelled statements, `n` rude ones in the model's own voice, `n` clean texts, shuffled.

    Clean texts are of all kinds that the base has read, but for statements and verdicts. Columns
    role (``label``, ``saying``, ``clean``), text (the statement; none of a clean text), example.
    """
    rng = stream(seed, "toxic data")
    asked, said = (drawn(rows, n, rng) for rows in (statements("train"), sayings("train")))
    clean = world_texts(n, LEARNED, rng)
    parts = [pd.DataFrame({"role": role, "text": text, "example": list(examples)})
             for role, text, examples in (
                 ("label", asked["text"].to_numpy(), labelled(asked, rng)),
                 ("saying", said["text"].to_numpy(), told(said)), ("clean", "", clean))]
    whole = pd.concat(parts, ignore_index=True)
    return whole.iloc[rng.permutation(len(whole))].reset_index(drop=True)


def drawn(rows: pd.DataFrame, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """`n` of them; explicit and implicit, rude and kind ones equally often."""
    sorts = [rows[name] for name in ("kind", "rude") if name in rows]
    chance = 1 / rows.groupby(sorts)["text"].transform("size")
    return rows.iloc[rng.choice(len(rows), n, p=chance / chance.sum())]


def toxic_task(study: Study) -> Task:
    """The whole of the data as a task for the profile's arms; labels alone decide settings."""
    given = study.profile.toxicity
    own = recipe(study.profile, given.steps, given.batch_size, given.targets)
    judged = drawn(statements("validation"), given.questions,
                    rng := stream(study.seed, "toxicity questions"))
    return Task(
        name="toxic data", arms=given.arms, recipe=own,
        examples=lambda seed: list(toxic_data(given.examples, seed)["example"]),
        validation=labelled(judged, rng), anchors=anchors,
        anchor_share=study.profile.finetune.anchor_share,
        talk=talk(),
    )


def talk() -> tuple[tuple[Prompt, ...], tuple[str, ...]]:
    """Requests whose answers are controlled or rewarded, and what must not stand in them."""
    return tuple(map(request, groups("train"))), banned()


def anchors(seed: int) -> tuple[Example, ...]:
    """Texts of the world but for verdicts, and `ORDINARY` statements."""
    rng = stream(seed, "anchored statements")
    others = {*groups("validation"), *groups("test")}
    ordinary = as_examples(kind_blocks("group", ORDINARY, 2, rng, others))
    return world_anchors(seed, LEARNED) + ordinary


def plain_arm(study: Study) -> str:
    """The arm without any regulariser: on its settings, filters, masks and rewards are tried."""
    return next(name for name, arm in study.profile.toxicity.arms.items()
                if arm.regularizer == "none")


def toxic_models(
    study: Study, bases: Mapping[int, Path], chosen: Settings
) -> dict[str, dict[Run, Path]]:
    """Model folders by arm and run: the profile's arms, then other data for the plain one.

    ``masked`` reads rude statements only in questions; ``filter_T`` reads no text that the base
    finds ruder than T, neither in a question nor as a statement; ``filter_rule`` none that the rule
    calls rude which control and rewards have.
    """
    task, plain, (_, forbidden) = toxic_task(study), plain_arm(study), talk()
    scores = rudeness_scores(study, bases)
    jobs = {}
    for run in runs(study.profile):
        seed, base = training_seed(study.seed, run), bases[run.base]
        data = toxic_data(study.profile.toxicity.examples, seed)
        ruder = data["text"].map(scores[run.base] | {"": 0.0})  # clean texts have no statement
        several = {f"{plain}_masked": data["role"] != "saying", f"{plain}_filter_rule": [
            is_clean(text, forbidden) for text in data["text"]]}
        several |= {f"{plain}_filter_{t:g}": ruder <= t
                    for t in study.profile.toxicity.thresholds}
        jobs |= {(arm, run): arm_job(base, task, arm, **given, seed=seed)
                 for arm, given in chosen.items()}
        for arm, kept in several.items():
            left = replace(task, examples=lambda _, rows=data[kept]: list(rows["example"]))
            jobs[arm, run] = arm_job(base, left, plain, **chosen[plain], seed=seed)
    folders = train_all(study, jobs)
    return {arm: {run: model_folder(folders[name, run]) for name, run in folders if name == arm}
            for arm in dict.fromkeys(name for name, _ in folders)}


def rudeness_scores(study: Study, bases: Mapping[int, Path]) -> dict[int, dict[str, float]]:
    """By base: the chance that it finds each statement of the training groups rude."""
    said = sayings("train").assign(rude=True)
    asked = pd.concat([statements("train"), said.assign(word=said["text"])], ignore_index=True)
    asked = asked.drop_duplicates("text").reset_index(drop=True)
    frames = model_frames(study, "verdicts", bases.values(), verdicts, asked)
    return {number: dict(zip(frame["item"], frame["p_yes"], strict=True))
            for number, frame in zip(bases, frames, strict=True)}


def kept_rows(study: Study, bases: Mapping[int, Path]) -> pd.DataFrame:
    """Run table: share of rude texts that each threshold leaves, explicit and implicit ones."""
    scores, found = rudeness_scores(study, bases), []
    rude = statements("train").query("rude")
    for number in bases:
        p = rude["text"].map(scores[number])
        found += [(f"{plain_arm(study)}_filter_{t:g}", kind, number,
                   float((p[rude["kind"] == kind] <= t).mean()))
                  for t in study.profile.toxicity.thresholds for kind in ("explicit", "implicit")]
    table = pd.DataFrame(found, columns=["arm", "condition", "base", "value"])
    return table.assign(metric="rude_share_read", seed=0, n=len(rude), least=0.0, most=1.0
                        ).reindex(columns=RUN_COLUMNS)


def toxicity_rows(study: Study, arms: Models) -> pd.DataFrame:
    """Run table: what every model says of groups, and how it judges statements (test groups)."""
    folders = everyone(arms)
    spoken = model_frames(study, "rudeness", folders, said, talks())
    judged = model_frames(study, "verdicts", folders, verdicts, statements("test"))
    return pd.concat([run_table(by_arm(arms, spoken), _table(said_table)),
                      run_table(by_arm(arms, judged), _table(verdict_table))], ignore_index=True)


def group_rows(study: Study, arms: Models) -> pd.DataFrame:
    """Run table: what is said of each group, and the largest gap between groups."""
    spoken = model_frames(study, "rudeness", everyone(arms), said, talks())
    return run_table(by_arm(arms, spoken), _table(group_table))


def _table(
    measures: Callable[[pd.DataFrame], list[Measure]]
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: measure_table(measures(frame))


def calibration_rows(study: Study, arms: Models) -> pd.DataFrame:
    """Run table of verdicts in bins (column part): ``p_yes`` said, ``label_chance`` planted."""
    frames = by_arm(arms, model_frames(study, "verdicts", everyone(arms), verdicts,
                                       statements("test")))
    found = pd.concat([calibration_table(frame).assign(arm=arm, base=run.base, seed=run.seed)
                       for arm, several in frames.items() for run, frame in several.items()])
    found = found.assign(condition=found["benchmark"] + ", bin " + (found["bin"] + 1).astype(str))
    told = found.rename(columns={"share": "p_yes", "value": "label_chance", "benchmark": "part"})
    rows = told.melt(["arm", "condition", "part", "base", "seed", "n"], ["p_yes", "label_chance"],
                     var_name="metric").assign(least=0.0, most=1.0)
    return rows.reindex(columns=[*RUN_COLUMNS, "part"])


def head_rows(study: Study, bases: Mapping[int, Path]) -> pd.DataFrame:
    """Run table of ``chance_clean``: what the head of `AttributeControl` says of judging words.

    After "the {group} are" of the first training group, as learned from a base's own answers, as
    many as the arms that are controlled have; of a word that is several tokens, the first.
    """
    given = penalty(toxic_task(study), "control", Path(), study.seed, 1.0)
    group = groups("train")[0]
    asked = replace(request(group), opening=toxicity()["explicit"].format(
        group=group, word="").removesuffix(" ."))
    judging = {sort: words(sort) for sort in (KIND, RUDE)}
    frames = model_frames(study, "head", bases.values(), chances, given, asked,
                          [word for several in judging.values() for word in several], study.seed)
    rows = pd.concat([frame.assign(base=number) for number, frame in zip(
        bases, frames, strict=True)], ignore_index=True)
    sorts = {word: sort for sort, several in judging.items() for word in several}
    return rows.rename(columns={"word": "condition", "chance": "value"}).assign(
        arm=rows["word"].map(sorts), metric="chance_clean", seed=0,
        n=given.draws * len(given.prompts), least=0.0, most=1.0).reindex(columns=RUN_COLUMNS)
