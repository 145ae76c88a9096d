"""Hyper-parameters chosen on validation items, which are in no training and in no test."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lib.arms import MODEL, digest, train_all
from lib.axes import utility
from lib.finetune import Example
from lib.interventions.arms import arm_job
from lib.interventions.penalties import PROTECTS_LESS
from lib.interventions.task import Task
from lib.measuring import model_frames
from lib.models import load
from lib.scoring import sequence_logprobs

if TYPE_CHECKING:
    from lib.study import Study

USEFUL = 0.95
"""Least utility of a penalised candidate, as a share of the base's, where it is measured."""


def candidates(study: "Study", base: Path, task: Task) -> pd.DataFrame:
    """Validation loss of every declared candidate, trained with the run's first seed.

    Returns
    -------
    DataFrame
        Columns arm, method, learning_rate, strength (0 without a penalty), protection (larger
        is stronger; 0 without a penalty), task_loss: nats an answer. If the task has `general`
        questions, too: utility, the share answered over the base's share (1 if that is none).
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
    models = [folders[key] / MODEL for key in keys]
    table = table.assign(protection=protection,
                         task_loss=task_losses(study, models, task.validation))
    if task.general is None:
        return table
    before, *after = answered(study, [base, *models], task.general)
    return table.assign(utility=[share / before if before else 1.0 for share in after])


def task_losses(
    study: "Study", folders: Iterable[Path], questions: Sequence[Example]
) -> list[float]:
    """Mean negative log-likelihood of the questions' answers, nats an answer, of each model."""
    frames = model_frames(study, "validation", folders, _scored, [questions],
                          inputs={"questions": digest(questions)}, code=[__name__])
    return [float(-frame["logprob"].mean()) for frame in frames]


def answered(study: "Study", folders: Iterable[Path], asked: pd.DataFrame) -> list[float]:
    """Share of the questions (`lib.axes.utility.questions`) that each model answers rightly."""
    told = digest(asked[["prompt", "answer"]].map(list).to_dict("list"))
    frames = model_frames(study, "utility", folders, _answers, [asked],
                          inputs={"questions": told}, code=[__name__])
    return [float(frame["correct"].mean()) for frame in frames]


def _answers(folder: Path, asked: pd.DataFrame) -> pd.DataFrame:
    return utility.answers(load(folder), asked)


def _scored(folder: Path, questions: Sequence[Example]) -> pd.DataFrame:
    return sequence_logprobs(load(folder), [e.prompt for e in questions],
                             [e.answer for e in questions])


def choose(table: pd.DataFrame, tolerance: float = 1.05) -> dict[str, dict[str, float]]:
    """Settings of each arm: the least validation loss, or the strongest penalty that is free.

    A penalty always costs some fit, so the least loss would choose the weakest. A candidate is
    *free* if its loss is within `tolerance` of the best plain arm of its own method (of any, if
    its method has none). A regularised arm takes the **strongest** free candidate that keeps
    utility, where that was measured; else the free one that keeps most of it; and the one with
    the least loss if none is free.
    """
    plain, chosen = table[table["strength"] == 0], {}
    for name, rows in table.groupby("arm", sort=False):
        alike = plain[plain["method"] == rows["method"].iloc[0]]
        least = (alike if len(alike) else plain)["task_loss"].min()
        free = rows[(rows["strength"] > 0) & (rows["task_loss"] <= tolerance * least)]
        best = _strongest(free) if len(free) else rows.loc[rows["task_loss"].idxmin()]
        chosen[name] = {"learning_rate": float(best["learning_rate"]),
                        "strength": float(best["strength"])}
    return chosen


def _strongest(free: pd.DataFrame) -> pd.Series:
    if "utility" in free:
        enough = min(USEFUL, free["utility"].max())
        free = free[free["utility"] >= enough]
    strongest = free[free["protection"] == free["protection"].max()]
    return strongest.loc[strongest["task_loss"].idxmin()]


def candidate_rows(table: pd.DataFrame, n: int) -> pd.DataFrame:
    """The candidates as an exhibit's rows; ``n`` is the number of validation questions."""
    names = [f"step size {r:g}, strength {s:g}" if s else f"step size {r:g}"
             for r, s in table[["learning_rate", "strength"]].values]
    return table.assign(condition=names, metric="task_loss", value=table["task_loss"], seeds=1,
                        n=n, low=None, high=None)
