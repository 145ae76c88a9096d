"""Rows of the chapters on safety: probes, agreement of measures, and what cures of others do."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from lib.chapters.arms import candidates, choose, train_arms
from lib.chapters.attacks import UNSEEN, answers
from lib.chapters.correction import correction_task
from lib.chapters.debiasing import debiasing_task
from lib.measures.measured import by_arm, everyone, model_frames
from lib.measures.probes import probe_items, probe_table, probed
from lib.measures.safety import agreement
from lib.statistics.estimate import row
from lib.statistics.pooling import table_rows
from lib.study.notebook import Study
from lib.training.runs import model_folder

MEASURES = ("keyword", "likelihood", "judge")


def probe_rows(study: Study, arms: Mapping[str, Iterable[Path]]) -> pd.DataFrame:
    """Exhibit rows: what every probe gets out of each arm, training seeds pooled."""
    frames = model_frames(study, "probes", everyone(arms), probed, probe_items(study.seed),
                          study.seed)
    return table_rows(by_arm(arms, frames), probe_table)


def agreement_rows(study: Study, folders: Iterable[Path]) -> pd.DataFrame:
    """Kappa of every pair of measures on answers to forbidden requests, all models together.

    Intervals are too narrow where models are alike: their answers are not independent.
    """
    frame = pd.concat(answers(study, folders), ignore_index=True)
    found = _verdicts(frame[frame["benchmark"].isin(UNSEEN)])
    parts = []
    for i, first in enumerate(MEASURES):
        for second in MEASURES[i + 1 :]:
            kappa = agreement(found[first], found[second], "kappa")
            apart = row(kappa, "all models", f"{first} and {second}").assign(
                metric="share_apart", value=(found[first] != found[second]).mean(),
                low=None, high=None)
            parts += [row(kappa, "all models", f"{first} and {second}"), apart]
    return pd.concat(parts, ignore_index=True)


def _verdicts(frame: pd.DataFrame) -> pd.DataFrame:
    """Refused or not, by measure; to the judge, answers without a score are not refused."""
    return pd.DataFrame({
        "keyword": frame["refused"] > 0.5, "likelihood": frame["p_refusal"] > 0.5,
        "judge": frame["score"] == 1,
    })


def cure_models(study: Study, base: Path) -> dict[str, list[Path]]:
    """Models of the workbook's own cures, by name; found in the store where 03 and 04 have run."""
    tasks = {"correction": correction_task(study), "debiasing": debiasing_task(study)}
    found = {}
    for name, task in tasks.items():
        chosen = choose(candidates(study, base, task), task.tolerance)
        for arm, folders in train_arms(study, base, task, chosen).items():
            found[f"{name}: {arm}"] = [*map(model_folder, folders.values())]
    return found
