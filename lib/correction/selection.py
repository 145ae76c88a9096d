"""Hyper-parameters chosen on validation items, which are in no training and in no test."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lib.arms import MODEL, train_all
from lib.correction.arms import arm_job
from lib.correction.labels import validation_examples
from lib.models import load
from lib.scoring import sequence_logprobs

if TYPE_CHECKING:
    from lib.study import Study

TOLERANCE = 1.05
"""A regularised arm may lose this factor in validation loss against the plain one."""


def candidates(study: "Study", base: Path) -> pd.DataFrame:
    """Validation loss of every declared candidate, trained with the run's first seed.

    Returns
    -------
    DataFrame
        Columns arm, learning_rate, strength (0 without a penalty), task_loss: nats an answer, on
        rational answers for persistences kept for validation.
    """
    keys = [(name, rate, strength) for name, arm in study.profile.correction.arms.items()
            for rate in arm.learning_rates
            for strength in (arm.strengths if arm.regularizer != "none" else [0.0])]
    jobs = {key: arm_job(study, base, *key, seed=study.seed) for key in keys}
    folders = train_all(study, jobs)
    table = pd.DataFrame(keys, columns=["arm", "learning_rate", "strength"])
    return table.assign(task_loss=[task_loss(study, folders[key] / MODEL) for key in keys])


def task_loss(study: "Study", folder: Path) -> float:
    """Mean negative log-likelihood of the validation answers, nats an answer."""
    return float(-_scores(study, folder)["logprob"].mean())


def _scores(study: "Study", folder: Path) -> pd.DataFrame:
    examples = validation_examples(study.profile, study.seed)
    inputs = {"model": folder, "seed": study.seed, "n": len(examples),
              "rhos": study.profile.forecasting.validation_rhos}
    return study.store.frame(
        "validation", inputs,
        lambda: sequence_logprobs(load(folder), [e.prompt for e in examples],
                                  [e.answer for e in examples]), code=[__name__])


def choose(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Settings of each arm: the least validation loss, or the strongest penalty that is free.

    A penalty always costs some fit, so the least loss would choose the weakest. A regularised
    arm takes the **strongest** candidate whose loss is within `TOLERANCE` of the best plain arm
    of the table, and the one with the least loss if none is.
    """
    plain = table.loc[table["strength"] == 0, "task_loss"].min()
    chosen = {}
    for name, rows in table.groupby("arm", sort=False):
        free = rows[(rows["strength"] > 0) & (rows["task_loss"] <= TOLERANCE * plain)]
        best = rows.loc[rows["task_loss"].idxmin()]
        if len(free):
            strongest = free[free["strength"] == free["strength"].max()]
            best = strongest.loc[strongest["task_loss"].idxmin()]
        chosen[name] = {"learning_rate": float(best["learning_rate"]),
                        "strength": float(best["strength"])}
    return chosen
