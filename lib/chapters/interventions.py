"""Models of the scorecard: the arms of all chapters, with the tasks and settings of each chapter.

In a run of the whole workbook every one of them is found by its key, and nothing is trained twice.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from lib.chapters.arms import Task, candidates, choose, train_arms
from lib.chapters.attacks import DISGUISED
from lib.chapters.correction import correction_task
from lib.chapters.debiasing import debiasing_task
from lib.chapters.defences import defence_candidates, defence_task
from lib.chapters.toxicity import toxic_task
from lib.errors import UnknownNameError, nearest, require
from lib.study.design import Run
from lib.study.notebook import Study
from lib.training.runs import model_folder
from lib.world.bases import base_model

Settings = Mapping[str, Mapping[str, float]]
"""Arm to ``learning_rate`` and ``strength``, from `lib.chapters.arms.choose`."""

TASKS: Mapping[str, Callable[[Study], Task]] = {
    "extrapolation": correction_task, "gender": debiasing_task, "toxicity": toxic_task}
"""Tasks whose settings are chosen on their own questions; the others are kinds of attack."""


def task_of(study: Study, name: str) -> Task:
    """A task of the profile's scorecard, as its chapter has it."""
    return TASKS[name](study) if name in TASKS else defence_task(study, name)


def chosen_settings(study: Study, name: str) -> Settings:
    """Of every arm of a task's chapter, as that chapter chooses them: recalled where committed."""
    base = base_model(study, study.profile.bases.chosen_on)
    if name not in TASKS:
        return choose(defence_candidates(study, base))
    task = task_of(study, name)
    return choose(candidates(study, base, task), task.tolerance)


def interventions(study: Study, bases: Mapping[int, Path]) -> dict[str, dict[Run, Path]]:
    """Model folders of the profile's scorecard: ``"<task>: <arm>"`` to run to folder.

    Parameters
    ----------
    bases : mapping
        Number of a base model to its folder; from `lib.world.bases.base_models`.

    Raises
    ------
    UnknownNameError
        The scorecard names an arm that its task's section of the profile lacks.
    """
    tasks = {name: task_of(study, name) for name in study.profile.scorecard.arms}
    for name, task in tasks.items():
        _check_arms(name, task, study.profile.scorecard.arms[name])
    # Defences are chosen once, for all kinds of attack.
    chosen = {source: chosen_settings(study, source) for source in {*map(_source, tasks)}}
    found = {}
    for name, task in tasks.items():
        settings = chosen[_source(name)]
        wanted = {arm: settings[arm] for arm in study.profile.scorecard.arms[name]}
        for arm, folders in train_arms(study, bases, task, wanted).items():
            found[f"{name}: {arm}"] = {run: model_folder(f) for run, f in folders.items()}
    return found


def _source(name: str) -> str:
    """What a task's settings are chosen on: itself, or an attack that is in no test."""
    return name if name in TASKS else DISGUISED


def _check_arms(name: str, task: Task, wanted: list[str]) -> None:
    for arm in wanted:
        require(arm in task.arms, f"scorecard.arms.{name} among {', '.join(task.arms)}",
                repr(arm), nearest(arm, list(task.arms)), UnknownNameError)
