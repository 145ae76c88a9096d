"""How well models write: what a judge, which is not told who wrote what, makes of their answers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from lib.measures.measured import by_arm, everyone, model_frame, model_frames
from lib.measures.preference import preferences, shuffled
from lib.measures.quality import answers, judged, requests
from lib.statistics.bases import all_run_rows
from lib.statistics.estimate import Measure, measure_table
from lib.statistics.means import mean
from lib.study import workers
from lib.study.design import Run
from lib.study.notebook import Study
from lib.study.workers import side_by_side
from lib.world.judge import judge_model

Models = Mapping[str, Mapping[Run, Path]]
"""Arm to run to model folder."""


def spoken(study: Study, arms: Models, base: int, each: int = 4) -> pd.DataFrame:
    """Some answers of every arm on one base, asked about groups: a column an answer."""
    asked = requests(10, study.seed).query("kind == 'group'").reset_index(drop=True)
    first = {arm: next(folder for run, folder in several.items() if run.base == base)
             for arm, several in arms.items()}
    frames = model_frames(study, "spoken", first.values(), answers, asked, study.seed)
    return pd.DataFrame([frame["answer"].head(each).tolist() for frame in frames],
                        index=pd.Index(first, name="arm"))


def quality_rows(study: Study, arms: Models, n: int) -> pd.DataFrame:
    """Run table of what the judge thinks of answers to at most `n` requests of each kind.

    ``judge_score``: nats a token; ``preferred``: share of requests on which the judge finds the
    answer likelier than the base's, ties half. Of ``all`` kinds, and of statements on ``groups``.
    """
    asked = requests(min(n, study.profile.evaluation.items), study.seed)
    judge = judge_model(study)

    def scored(folder: Path, run: workers.Run) -> pd.DataFrame:
        given = model_frame(study, "written", folder, run, answers, asked, study.seed)
        return model_frame(study, "judged", judge, run, judged, asked, given[["answer", "ended"]])

    found = by_arm(arms, side_by_side(scored, everyone(arms), study.profile.workers))
    before = {run.base: frame for run, frame in found["base"].items()}
    return all_run_rows((_quality(frame, before[run.base], arm == "base"), arm, *run)
                        for arm, several in found.items() for run, frame in several.items())


def _quality(frame: pd.DataFrame, before: pd.DataFrame, is_base: bool) -> pd.DataFrame:
    won = np.sign(frame["score"] - before["score"]) / 2 + 0.5
    rows, found = frame.assign(won=won), []
    for name, some in (("all", rows), ("groups", rows[rows["cluster"] == "group"])):
        found.append(Measure.of(mean("judge_score", some["score"]), name, most=0.0))
        if not is_base:
            found.append(Measure.share(mean("preferred", some["won"]), name))
    return measure_table(found)


def preference_rows(study: Study, arms: Models, n: int) -> pd.DataFrame:
    """Run table of which answer the judge takes when it is asked, in both orders.

    ``preferred_asked``: chance that it takes the arm's answer before the base's, mean of both
    orders (.5: it cannot tell, or knows places alone). ``same_both_ways``: share of requests on
    which both orders have one winner. The arm ``shuffled`` is the base's words in disorder: a judge
    that does not see that is none. At most `n` requests of each kind that a chat has.
    """
    asked = requests(min(n, study.profile.evaluation.items), study.seed)
    chats = asked["prompt"].map(lambda prompt: bool(prompt.messages))
    written = by_arm(arms, [frame["answer"][chats].tolist() for frame in model_frames(
        study, "written", everyone(arms), answers, asked, study.seed)])
    before = {run.base: given for run, given in written.pop("base").items()}
    written["shuffled"] = {Run(base, 0): shuffled(given, study.seed)
                           for base, given in before.items()}
    judge, chat = judge_model(study), asked[chats].reset_index(drop=True)

    def compare(pair: tuple[list[str], list[str]], run: workers.Run) -> pd.DataFrame:
        return model_frame(study, "preferences", judge, run, preferences, chat, *pair)

    pairs = {(arm, run): (given, before[run.base])
             for arm, several in written.items() for run, given in several.items()}
    frames = side_by_side(compare, list(pairs.values()), study.profile.workers)
    return all_run_rows((_preferred(frame), arm, *run)
                        for (arm, run), frame in zip(pairs, frames, strict=True))


def _preferred(frame: pd.DataFrame) -> pd.DataFrame:
    chance = frame[["first", "second"]]
    rows = frame.assign(preferred=chance.mean(axis=1), same=(chance > 0.5).nunique(axis=1) == 1)
    return measure_table(
        Measure.share(mean(metric, some[column].astype(float)), name)
        for name, some in (("all", rows), ("groups", rows[rows["cluster"] == "group"]))
        for metric, column in (("preferred_asked", "preferred"), ("same_both_ways", "same")))
