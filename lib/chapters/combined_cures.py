"""Both cures in one model: one after the other, both at once, or their updates combined."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lib.chapters import correction, debiasing
from lib.chapters.arms import Task, arm_job, recipe, refusals, train_arms, world_anchors
from lib.chapters.interventions import Settings, chosen_settings, task_of
from lib.errors import UnknownNameError, nearest, require
from lib.models.chat import Example
from lib.study import workers
from lib.study.design import Run, runs, training_seed
from lib.study.notebook import Study
from lib.study.settings import ArmSettings
from lib.study.workers import side_by_side
from lib.training.combined import METHODS, Merge, merge_models
from lib.training.job import Job
from lib.training.recipe import Recipe
from lib.training.runs import model_folder, train_all
from lib.world.truth import settings

CURES = ("extrapolation", "gender")
ORDERS = {"_".join(pair): pair for pair in (CURES, CURES[::-1])}
"""What is trained first, and what is trained on its model."""
JOINT = {"joint": "none", "joint_kl": "kl"}
"""Both tasks' examples in one training: name to regulariser."""


@dataclass(frozen=True)
class Cure:
    """One cure as its chapter has it: its task, all chosen settings, and its models."""

    task: Task
    chosen: Settings
    models: Mapping[Run, Path]


def combined_cures(study: Study, bases: Mapping[int, Path]) -> dict[str, dict[Run, Path]]:
    """Model folders of every combination that the profile names: name to run to folder.

    ``extrapolation_gender`` and ``gender_extrapolation``: the second task is trained with its own
    recipe on the first one's model, and a regulariser holds it near *that* model, the first cure
    included. ``joint``, ``joint_kl``: see `joint_task`. ``added``, ``ties``: no training, see
    `lib.training.combined`.

    Parameters
    ----------
    bases : mapping
        Number of a base model to its folder; from `lib.world.bases.base_models`.
    """
    given = study.profile.scorecard
    if not given.combined:
        return {}
    _check(study)
    cures = {name: cure(study, bases, name) for name in CURES}
    jobs = _second_jobs(study, cures) | _joint_jobs(study, bases, cures)
    wanted = {key: job for key, job in jobs.items() if key[0] in given.combined}
    found = {key: model_folder(folder) for key, folder in train_all(study, wanted).items()}
    found |= _merged(study, bases, cures)
    return {name: {run: found[name, run] for run in runs(study.profile)}
            for name in given.combined}


def cure(study: Study, bases: Mapping[int, Path], name: str) -> Cure:
    """One cure of `CURES` with the profile's arm, found in the store where its chapter has run."""
    task, chosen, arm = task_of(study, name), chosen_settings(study, name), _arm(study)
    trained = train_arms(study, bases, task, {arm: chosen[arm]})[arm]
    return Cure(task, chosen, {run: model_folder(folder) for run, folder in trained.items()})


def _arm(study: Study) -> str:
    return study.profile.scorecard.cured


def _check(study: Study) -> None:
    """Both cures have the arm, in one method, and what is combined is a whole model."""
    arm, profile = _arm(study), study.profile
    both = [profile.correction.arms, profile.debiasing.arms]
    known = [name for name in both[0] if name in both[1]]
    require(arm in known, f"scorecard.cured among the arms of both cures: {', '.join(known)}",
            repr(arm), nearest(arm, known), UnknownNameError)
    methods = {arms[arm].method for arms in both}
    require(len(methods) == 1, f"the same method of {arm} in correction.arms and debiasing.arms",
            " and ".join(sorted(methods)), "choose another arm as scorecard.cured")
    whole = profile.finetune.merge or methods == {"full"}
    require(whole or {*profile.scorecard.combined} <= {*JOINT},
            "merged models, to train or combine them further", "finetune.merge: false",
            "set finetune.merge to true, or scorecard.combined to []")


def _second_jobs(study: Study, cures: Mapping[str, Cure]) -> dict[tuple[str, Run], Job]:
    arm = _arm(study)
    return {(name, run): arm_job(cures[first].models[run], cures[second].task, arm,
                                 **cures[second].chosen[arm], seed=training_seed(study.seed, run))
            for name, (first, second) in ORDERS.items() for run in runs(study.profile)}


def _joint_jobs(
    study: Study, bases: Mapping[int, Path], cures: Mapping[str, Cure]
) -> dict[tuple[str, Run], Job]:
    named = [name for name in JOINT if name in study.profile.scorecard.combined]
    task = joint_task(study, cures) if named else None
    return {(name, run): arm_job(bases[run.base], task, name, task.arms[name].learning_rates[0],
                                 task.arms[name].strengths[0], training_seed(study.seed, run))
            for name in named for run in runs(study.profile)}


def joint_task(study: Study, cures: Mapping[str, Cure]) -> Task:
    """Both cures as one task: all examples of both, in as many steps, of as many texts, as both.

    Modules of either adapter are adapted at the larger rank, with the smaller step size. ``joint``
    has no regulariser; ``joint_kl`` has that of extrapolation's arm, and its strength.
    """
    both = [cures[name].task for name in CURES]
    rate = min(cures[name].chosen[_arm(study)]["learning_rate"] for name in CURES)
    return Task(
        name="both cures", recipe=_joint_recipe(study, both), validation=(),
        arms={name: ArmSettings(method=both[0].arms[_arm(study)].method, regularizer=kind,
                                learning_rates=[rate], strengths=[_strength(study, cures, kind)])
              for name, kind in JOINT.items() if name in study.profile.scorecard.combined},
        examples=lambda seed: [e for task in both for e in task.examples(seed)],
        anchors=anchors, anchor_share=study.profile.finetune.anchor_share)


def _strength(study: Study, cures: Mapping[str, Cure], kind: str) -> float:
    """Of extrapolation's arm with that regulariser: the one that is combined, if it has it."""
    if kind == "none":
        return 1.0
    arms = study.profile.correction.arms
    found = [name for name in (_arm(study), *arms) if arms[name].regularizer == kind]
    require(found, f"an arm of correction.arms with the regularizer {kind}, whose strength "
            f"scorecard.combined joint_{kind} takes", "none", f"add one, or leave joint_{kind} out")
    return cures[CURES[0]].chosen[found[0]]["strength"]


def _joint_recipe(study: Study, both: list[Task]) -> Recipe:
    own = [task.arms[_arm(study)] for task in both]
    steps = sum(task.recipe.steps for task in both)
    texts = sum(task.recipe.steps * task.recipe.batch_size for task in both)
    pairs = list(zip(own, both, strict=True))
    targets = dict.fromkeys(t for arm, task in pairs for t in arm.targets or task.recipe.targets)
    rank = max(arm.rank or task.recipe.rank for arm, task in pairs)
    return recipe(study.profile, steps, round(texts / steps), tuple(targets), rank)


def anchors(seed: int) -> tuple[Example, ...]:
    """Texts that neither task changes, and what debiasing keeps besides: refusals, definitions."""
    kept = [v for v in settings("text")["slots"]["said"] if v != debiasing.TEST_VERB]
    return (world_anchors(seed, (*correction.CHANGED, *debiasing.CHANGED))
            + refusals(seed, debiasing.REFUSALS)
            + debiasing.REPEATS * debiasing.definitions(kept))


def _merged(
    study: Study, bases: Mapping[int, Path], cures: Mapping[str, Cure]
) -> dict[tuple[str, Run], Path]:
    """Both cures' updates combined, by name and run."""
    given = study.profile.scorecard
    wanted = {(name, run): Merge(name, tuple(given.weights), given.density)
              for name in METHODS if name in given.combined for run in runs(study.profile)}

    def made(key: tuple[str, Run], run: workers.Run) -> Path:
        how, base = wanted[key], bases[key[1].base]
        models = [cures[name].models[key[1]] for name in CURES]
        inputs: dict[str, Any] = {"base": base, "models": models, "how": how}
        return study.store.build("models", how.method, inputs,
                                 partial(merge_models, how, base, models), run)

    return dict(zip(wanted, side_by_side(made, list(wanted), study.profile.workers), strict=True))
