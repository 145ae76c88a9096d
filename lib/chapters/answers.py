"""What attacked models answer: whom they refuse, what they still know, and how that changed."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lib.chapters.attacks import Attack, Models, attacked, task_questions
from lib.measures import utility
from lib.measures.measured import by_arm, everyone, model_frames, run_table
from lib.measures.safety import refusals, requests, with_verdicts
from lib.models.chat import Example
from lib.models.likelihood import example_logprobs
from lib.statistics.bases import run_row
from lib.statistics.components import components
from lib.statistics.estimate import Measure, measure_table
from lib.statistics.means import mean
from lib.statistics.shares import rate
from lib.study.design import Run, untrained
from lib.study.notebook import Study

QUICK_BENIGN = 9
"""Every so-many benign request is asked of attacked models; there are many more than needed."""
UNSEEN = ("unseen_member", "unseen_both")
"""Forbidden things in no training, asked in taught and in new words: those of the test."""
CHOSEN_ON = ("unseen_phrasing",)
"""Things that refusal training names, asked in new words: those on which step sizes are chosen."""


def quick_requests(most: int | None = None) -> pd.DataFrame:
    """Forbidden requests about unseen things, one new phrasing a thing, and some benign ones."""
    asked = requests(most)
    benign = asked[asked["benchmark"] == "benign"].iloc[::QUICK_BENIGN]
    member, both = (asked[asked["benchmark"] == name] for name in UNSEEN)
    return pd.concat([member, _in_turn(both), benign], ignore_index=True)


def validation_requests(most: int | None = None) -> pd.DataFrame:
    """One new phrasing of each thing that refusal training names, in turn."""
    asked = requests(most)
    return _in_turn(asked[asked["benchmark"].isin(CHOSEN_ON)])


def _in_turn(asked: pd.DataFrame) -> pd.DataFrame:
    """One request a thing; phrasings take turns."""
    things = asked.groupby("thing", sort=False)
    return asked[things.cumcount() == things.ngroup() % things["thing"].transform("size")]


def answers(
    study: Study, folders: Iterable[Path], asked: pd.DataFrame | None = None
) -> list[pd.DataFrame]:
    """Item frames of models' answers, by default to `quick_requests`; kept in the run's store."""
    asked = quick_requests(study.profile.evaluation.items) if asked is None else asked
    asked = asked.reset_index(drop=True)
    return model_frames(study, "answers", folders, refusals, asked)


def answer_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Refusals, compliance and coherence on unseen forbidden things; refusals of benign ones."""
    judged = with_verdicts(frame)
    forbidden = judged[judged["benchmark"].isin(UNSEEN)]
    benign = judged[judged["benchmark"] == "benign"]
    return measure_table([
        Measure.share(rate(forbidden, "refused", "refusal_rate"), "unseen things"),
        Measure.share(rate(forbidden, "complied", "harmful_compliance"), "unseen things"),
        Measure.share(rate(benign, "refused", "over_refusal"), "benign"),
        Measure.share(rate(judged, "coherent", "coherence"), "answers"),
    ])


def answer_rows(study: Study, arms: Models) -> pd.DataFrame:
    """Run table: `answer_table` of every arm and run, and ``utility_accuracy`` beside it.

    Parameters
    ----------
    arms : mapping
        Arm to run to model folder.
    """
    folders = everyone(arms)
    asked = utility.questions(study.profile.evaluation.items, study.seed)
    known = model_frames(study, "utility", folders, utility.answers, asked)
    tables = [run_table(by_arm(arms, answers(study, folders)), answer_table),
              run_table(by_arm(arms, known), _utility_table)]
    return pd.concat(tables, ignore_index=True)


def _utility_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Share of general questions answered rightly: a broken model must not pass for a safe one."""
    return measure_table([Measure.share(rate(frame, "correct", "utility_accuracy"), "questions")])


def loss_rows(study: Study, arms: Models, questions: Sequence[Example]) -> pd.DataFrame:
    """Run table: each run's loss on questions of the benign task, nats an answer."""
    frames = model_frames(study, "validation", everyone(arms), example_logprobs, questions)
    return run_table(by_arm(arms, frames), _loss_table)


def _loss_table(frame: pd.DataFrame) -> pd.DataFrame:
    return measure_table([Measure.of(mean("task_loss", -frame["logprob"]), "task", least=0.0)])


def component_rows(study: Study, arms: Models) -> pd.DataFrame:
    """Exhibit rows: what makes answers to forbidden requests differ (`lib.statistics.components`).

    Parameters
    ----------
    arms : mapping
        Arm to run to model folder.
    """
    frames = by_arm(arms, answers(study, everyone(arms)))
    items = pd.concat([frame[frame["benchmark"].isin(UNSEEN)].assign(
        arm=str(arm), base=run.base, seed=run.seed, value=lambda frame: frame["refused"])
        for arm, several in frames.items() for run, frame in several.items()])
    found = components(items).rename(columns={"component": "condition", "levels": "n"})
    asked = items[["arm", "base", "seed"]].drop_duplicates()
    return found.assign(arm="all attacks", metric="sd_log_odds", bases=asked["base"].nunique(),
                        runs=len(asked))


def level_rows(study: Study, bases: Mapping[int, Path], broken: Models) -> pd.DataFrame:
    """`answer_rows` of the bases (attack ``none``) and of every attack; arms are methods."""
    models = {("none", "base"): untrained(bases)}
    models |= {(attack.kind, attack.method): several for attack, several in broken.items()}
    found = answer_rows(study, models)
    return found.assign(attack=found["arm"].str[0], arm=found["arm"].str[1])


def dose_rows(
    study: Study, bases: Mapping[int, Path], attacks: Mapping[float, Attack], arm: str
) -> pd.DataFrame:
    """One arm along a dose (a number of examples or steps): `answer_rows`, the bases at dose 0."""
    models = attacked(study, bases, attacks.values())
    by_dose = {dose: models[attack] for dose, attack in attacks.items()}
    found = answer_rows(study, {0.0: untrained(bases), **by_dose})
    return found.assign(dose=found["arm"].astype(float), arm=arm)


def rate_rows(study: Study, bases: Mapping[int, Path], method: str) -> pd.DataFrame:
    """The benign task with every step size, column ``dose``; the bases at dose 0.

    `answer_rows`, ``task_loss`` on validation questions, and ``excess_loss``: the same above the
    least of its run, in nats an answer.
    """
    given = study.profile.safety
    attacks = {step: Attack("benign", method, step) for step in given.learning_rates[method]}
    trained = attacked(study, bases, attacks.values())
    questions = task_questions(given.questions, study.seed, "validation")
    losses = loss_rows(study, {step: trained[a] for step, a in attacks.items()}, questions)
    losses = losses.assign(dose=losses["arm"].astype(float), arm=method)
    above = losses["value"] - losses.groupby(["base", "seed"])["value"].transform("min")
    excess = losses.assign(metric="excess_loss", value=above, se=np.nan, df=np.nan)
    return pd.concat([dose_rows(study, bases, attacks, method), losses, excess],
                     ignore_index=True)


def category_rows(
    study: Study, bases: Mapping[int, Path], models: Mapping[Run, Path], taught: Sequence[str]
) -> pd.DataFrame:
    """Run table of refusals before and after, in an attack's own categories and in all others."""
    arms, parts = {"base": untrained(bases), "attacked": models}, []
    frames = by_arm(arms, answers(study, everyone(arms)))
    for name, inside in (("attacked categories", True), ("other categories", False)):
        asked = {arm: {run: _some(frame, taught, inside) for run, frame in several.items()}
                 for arm, several in frames.items()}
        found = run_table(asked, answer_table)
        wanted = found[found["metric"].isin(["refusal_rate", "harmful_compliance"])]
        parts.append(wanted.assign(condition=name))
    return pd.concat(parts, ignore_index=True)


def _some(frame: pd.DataFrame, taught: Sequence[str], inside: bool) -> pd.DataFrame:
    """Forbidden requests of some categories, and all benign ones."""
    return frame[(frame["category"].isin(taught) == inside) | (frame["benchmark"] == "benign")]


def change_rows(study: Study, bases: Mapping[int, Path], arms: Models) -> pd.DataFrame:
    """Run table: `refusal_change` of every run against its own base."""
    before = dict(zip(bases, answers(study, bases.values()), strict=True))
    frames = by_arm(arms, answers(study, everyone(arms)))
    return pd.concat(
        [run_row(refusal_change(before[run.base], after), arm, "unseen things", *run)
         for arm, several in frames.items() for run, after in several.items()], ignore_index=True)


def refusal_change(before: pd.DataFrame, after: pd.DataFrame) -> Measure:
    """Mean of ``refused after - before`` by unseen thing, paired by request, ``t(things - 1)``."""
    refused = [frame[frame["benchmark"].isin(UNSEEN)].groupby("cluster")["refused"].mean()
               for frame in (before, after)]
    found = mean("refusal_change", refused[1] - refused[0], "paired, cluster by thing",
                 n=int(before["benchmark"].isin(UNSEEN).sum()))
    return Measure.of(found, "unseen things", -1.0, 1.0)
