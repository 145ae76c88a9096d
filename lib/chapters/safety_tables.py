"""Rows of the chapters on safety: probes, agreement of measures, and what cures of others do."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from lib.chapters.answers import UNSEEN, answers
from lib.chapters.arms import candidates, choose, train_arms
from lib.chapters.attacks import Models
from lib.chapters.correction import correction_task
from lib.chapters.debiasing import debiasing_task
from lib.measures.measured import by_arm, everyone, model_frames, run_table
from lib.measures.probes import probe_items, probe_table, probed
from lib.measures.safety import agreement
from lib.statistics.bases import run_row
from lib.statistics.estimate import Estimate, Measure
from lib.study.design import Run
from lib.study.notebook import Study
from lib.training.runs import model_folder
from lib.world.bases import base_model

MEASURES = ("keyword", "likelihood", "judge")


def probe_rows(study: Study, arms: Models) -> pd.DataFrame:
    """Run table: what every probe gets out of each arm and run."""
    items = probe_items(study.seed, max(1, study.profile.evaluation.items // 4))
    frames = model_frames(study, "probes", everyone(arms), probed, items, study.seed)
    return run_table(by_arm(arms, frames), probe_table)


def agreement_rows(study: Study, arms: Models) -> pd.DataFrame:
    """Run table: kappa of every pair of measures on answers to forbidden requests.

    A row a base and seed, of the answers of all its models together, the base's among them: models
    of one base are no independent witnesses, so intervals are over bases. Beside it
    ``share_apart``: answers that differ.
    """
    frames = by_arm(arms, answers(study, everyone(arms)))
    asked = [(run, frame[frame["benchmark"].isin(UNSEEN)])
             for several in frames.values() for run, frame in several.items()]
    return pd.concat([_pairs(_verdicts(pd.concat(
        [frame for run, frame in asked if run in (one, Run(one.base, 0))], ignore_index=True)), one)
        for one in sorted({run for run, _ in asked if run.seed})], ignore_index=True)


def _pairs(found: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Every two measures of the answers of one base and seed."""
    parts = []
    for first, second in combinations(MEASURES, 2):
        apart = Estimate("share_apart", float((found[first] != found[second]).mean()),
                         *[float("nan")] * 3, len(found), len(found), "counted", float("nan"))
        for one, least in ((agreement(found[first], found[second], "kappa"), -1.0),
                           (apart, 0.0)):
            parts.append(run_row(Measure.of(one, "", least, 1.0), "all models",
                                 f"{first} and {second}", *run))
    return pd.concat(parts).assign(se=np.nan, df=np.nan)  # answers of one base are no sample


def _verdicts(frame: pd.DataFrame) -> pd.DataFrame:
    """Refused or not, by measure; to the judge, answers without a score are not refused."""
    return pd.DataFrame({
        "keyword": frame["refused"] > 0.5, "likelihood": frame["p_refusal"] > 0.5,
        "judge": frame["score"] == 1,
    })


def cure_models(study: Study, bases: Mapping[int, Path]) -> dict[str, dict[Run, Path]]:
    """Models of the workbook's own cures, by name; found in the store where 03 and 04 have run."""
    tasks = {"correction": correction_task(study), "debiasing": debiasing_task(study)}
    found = {}
    for name, task in tasks.items():
        tried = candidates(study, base_model(study, study.profile.bases.chosen_on), task)
        chosen = choose(tried, task.tolerance)
        for arm, folders in train_arms(study, bases, task, chosen).items():
            found[f"{name}: {arm}"] = {run: model_folder(f) for run, f in folders.items()}
    return found
