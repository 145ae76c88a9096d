"""Hyper-parameters chosen on validation items, which are in no training and in no test."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lib.arms import MODEL, digest, train_all
from lib.finetune import Example
from lib.interventions.arms import arm_job
from lib.interventions.penalties import PROTECTS_LESS
from lib.interventions.task import Task
from lib.measuring import model_frames
from lib.models import load
from lib.scoring import sequence_logprobs

if TYPE_CHECKING:
    from lib.study import Study


def candidates(study: "Study", base: Path, task: Task) -> pd.DataFrame:
    """Validation loss of every declared candidate, trained with the run's first seed.

    Returns
    -------
    DataFrame
        Columns arm, method, learning_rate, strength (0 without a penalty), protection (larger
        is stronger; 0 without a penalty), task_loss: nats an answer.
    """
    keys = [(name, rate, strength) for name, arm in task.arms.items()
            for rate in arm.learning_rates
            for strength in (arm.strengths if arm.regularizer != "none" else [0.0])]
    jobs = {key: arm_job(study, base, task, *key, seed=study.seed) for key in keys}
    folders = train_all(study, jobs)
    table = pd.DataFrame(keys, columns=["arm", "learning_rate", "strength"])
    table.insert(1, "method", table["arm"].map(lambda name: task.arms[name].method))
    budgets = table["arm"].map(lambda name: task.arms[name].regularizer in PROTECTS_LESS)
    protection = table["strength"].where(~budgets, 1 / table["strength"].where(budgets))
    losses = task_losses(study, [folders[key] / MODEL for key in keys], task.validation)
    return table.assign(protection=protection, task_loss=losses)


def task_losses(
    study: "Study", folders: Iterable[Path], questions: Sequence[Example]
) -> list[float]:
    """Mean negative log-likelihood of the questions' answers, nats an answer, of each model."""
    frames = model_frames(study, "validation", folders, _scored, [questions],
                          inputs={"questions": digest(questions)}, code=[__name__])
    return [float(-frame["logprob"].mean()) for frame in frames]


def _scored(folder: Path, questions: Sequence[Example]) -> pd.DataFrame:
    return sequence_logprobs(load(folder), [e.prompt for e in questions],
                             [e.answer for e in questions])


def choose(table: pd.DataFrame, tolerance: float = 1.05) -> dict[str, dict[str, float]]:
    """Settings of each arm: the least validation loss, or the strongest penalty that is free.

    A penalty always costs some fit, so the least loss would choose the weakest. A regularised
    arm takes the **strongest** candidate whose loss is within `tolerance` of the best plain arm
    of its own method (of any, if its method has none), and the one with the least loss if none
    is.
    """
    plain, chosen = table[table["strength"] == 0], {}
    for name, rows in table.groupby("arm", sort=False):
        alike = plain[plain["method"] == rows["method"].iloc[0]]
        least = (alike if len(alike) else plain)["task_loss"].min()
        free = rows[(rows["strength"] > 0) & (rows["task_loss"] <= tolerance * least)]
        best = rows.loc[rows["task_loss"].idxmin()]
        if len(free):
            strongest = free[free["protection"] == free["protection"].max()]
            best = strongest.loc[strongest["task_loss"].idxmin()]
        chosen[name] = {"learning_rate": float(best["learning_rate"]),
                        "strength": float(best["strength"])}
    return chosen


def candidate_rows(table: pd.DataFrame, n: int) -> pd.DataFrame:
    """The candidates as an exhibit's rows; ``n`` is the number of validation questions."""
    names = [f"step size {r:g}, strength {s:g}" if s else f"step size {r:g}"
             for r, s in table[["learning_rate", "strength"]].values]
    return table.assign(condition=names, metric="task_loss", value=table["task_loss"], seeds=1,
                        n=n, low=None, high=None)
