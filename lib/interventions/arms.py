"""Training the arms of a task: one job a candidate, or one a seed with the chosen settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.arms import arm_seeds, train_all
from lib.finetune import Job, Recipe
from lib.interventions.penalties import penalty
from lib.interventions.task import Task

if TYPE_CHECKING:
    from lib.chapters import ArmSettings
    from lib.study import Study


def recipe(
    study: "Study", task: Task, arm: "ArmSettings", learning_rate: float, seed: int, **changes: Any
) -> Recipe:
    """How an arm's weights move: its own width and targets, else the task's; then changes.

    Every rank has the profile's scale ``alpha / rank``, so that only the width differs.
    """
    given = study.profile.finetune
    rank = changes.pop("rank", None) or arm.rank or task.rank
    values = {
        "rank": rank, "alpha": max(1, round(given.alpha * rank / given.rank)),
        "targets": tuple(arm.targets or task.targets),
        "steps": task.steps, "batch_size": task.batch_size,
        "precision": study.profile.model.dtype,
    }
    return Recipe(arm.method, learning_rate=learning_rate, seed=seed, **values | changes)


def arm_job(
    study: "Study",
    base: Path,
    task: Task,
    name: str,
    learning_rate: float,
    strength: float,
    seed: int,
) -> Job:
    """One run of a declared arm; its ``out`` is set by `lib.arms.train_all`."""
    arm = task.arms[name]
    return Job(base, task.examples(seed), recipe(study, task, arm, learning_rate, seed), Path(),
               f"{task.name}: {name}, seed {seed}",
               penalty(task, arm.regularizer, seed, strength))


def train_arms(
    study: "Study", base: Path, task: Task, chosen: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[int, Path]]:
    """Every arm that has chosen settings, with all seeds of the profile.

    Parameters
    ----------
    chosen : mapping
        Arm to ``{"learning_rate": ..., "strength": ...}``, from `choose`.

    Returns
    -------
    dict of str to dict of int to Path
        Arm, then training seed, to the folder of `lib.arms.train_all`.
    """
    jobs = {(name, seed): arm_job(study, base, task, name, **settings, seed=seed)
            for name, settings in chosen.items() for seed in arm_seeds(study)}
    folders = train_all(study, jobs)
    return {name: {seed: folders[name, seed] for seed in arm_seeds(study)} for name in chosen}
