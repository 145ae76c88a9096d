"""The correction as a task, and the one-change variants of its plain LoRA arm."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.arms import train_all
from lib.correction.labels import training_examples, validation_examples
from lib.finetune import Job
from lib.interventions import Task, world_anchors
from lib.interventions.arms import recipe

if TYPE_CHECKING:
    from lib.study import Study

CHANGED = ("forecast", "series")
"""Kinds of text that anchors leave out, as they are what is being changed."""


def correction_task(study: "Study") -> Task:
    """Rational forecasts, the arms of the profile, anchors of everything but forecasts."""
    given = study.profile
    return Task(
        name="correction", arms=given.correction.arms,
        rank=given.finetune.rank, targets=given.finetune.targets,
        steps=given.finetune.steps, batch_size=given.finetune.batch_size,
        examples=lambda seed: training_examples(given, seed),
        validation=validation_examples(given, study.seed),
        anchors=lambda seed: world_anchors(seed, CHANGED),
    )


def ablations(
    study: "Study", base: Path, learning_rate: float
) -> dict[tuple[str, str], dict[int, Path]]:
    """One-change variants of the plain LoRA arm, at its chosen step size.

    Returns
    -------
    dict
        (what is changed, to what) to training seed to folder.
    """
    seeds = [study.seed + i for i in range(study.profile.correction.ablations.seeds)]
    task = correction_task(study)
    jobs = {(*variant, seed): _variant_job(study, base, task, learning_rate, *variant, seed)
            for variant in variants(study) for seed in seeds}
    folders = train_all(study, jobs)
    return {(factor, _name(level)): {seed: folders[factor, level, seed] for seed in seeds}
            for factor, level in variants(study)}


def variants(study: "Study") -> list[tuple[str, Any]]:
    """What is changed, and to what; sets of modules as tuples."""
    given = study.profile.correction.ablations
    levels = {"labels": given.labels, "rank": given.rank,
              "targets": [tuple(t) for t in given.targets], "examples": given.examples}
    return [(factor, level) for factor, values in levels.items() for level in values]


def _name(level: Any) -> str:
    return "+".join(level) if isinstance(level, tuple) else str(level)


def _variant_job(
    study: "Study",
    base: Path,
    task: Task,
    learning_rate: float,
    factor: str,
    level: Any,
    seed: int,
) -> Job:
    taught = {"labels": {"labels": level}, "examples": {"n": level}}.get(factor, {})
    changes = {factor: level} if factor in ("rank", "targets") else {}
    return Job(base, training_examples(study.profile, seed, **taught),
               recipe(study, task, task.arms["lora"], learning_rate, seed, **changes), Path(),
               f"{factor} {_name(level)}, seed {seed}")
