"""The arms that the profile declares, and the one-change variants of the plain LoRA arm."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.arms import arm_seeds, train_all
from lib.correction.labels import training_examples
from lib.finetune import Example, Job, Recipe
from lib.regularizers import KL
from lib.sandbox.corpus import kind_blocks, mixture

if TYPE_CHECKING:
    from lib.profiles import ArmSettings
    from lib.study import Study

ANCHORS = 400
"""Texts on which a regularised arm must still speak like its base."""
NOT_ANCHORED = ("forecast", "series", "forbidden")
"""Kinds that anchors leave out: what is being changed, and what was unlearned."""


def recipe(study: "Study", method: str, learning_rate: float, seed: int, **changes: Any) -> Recipe:
    """The profile's recipe with a method, a step size, a seed, and changes by name."""
    given = study.profile.finetune
    values = {
        "rank": given.rank, "alpha": int(given.alpha), "targets": tuple(given.targets),
        "steps": given.steps, "batch_size": given.batch_size,
    }
    return Recipe(method, learning_rate=learning_rate, seed=seed, **values | changes)


def arm_job(
    study: "Study", base: Path, name: str, learning_rate: float, strength: float, seed: int
) -> Job:
    """One run of a declared arm; its ``out`` is set by `lib.arms.train_all`."""
    arm: ArmSettings = study.profile.correction.arms[name]
    regularizer = KL(anchors(study, seed), strength) if arm.regularizer == "kl" else None
    return Job(base, training_examples(study.profile, seed),
               recipe(study, arm.method, learning_rate, seed), Path(), f"{name}, seed {seed}",
               regularizer)


def anchors(study: "Study", seed: int) -> tuple[Example, ...]:
    """Texts of the world about everything but forecasts, as they stand in its mixture."""
    shares = {kind: share for kind, share in mixture().items() if kind not in NOT_ANCHORED}
    rng, total = np.random.default_rng([seed, 13]), sum(shares.values())
    blocks = [b for kind, share in shares.items()
              for b in kind_blocks(kind, round(ANCHORS * share / total), 2, rng)]
    return tuple(Example(tuple(p), tuple(a)) for b in blocks
                 for p, a in zip(b.prompts(), b.answers(), strict=True))


def corrections(
    study: "Study", base: Path, chosen: dict[str, dict[str, float]]
) -> dict[str, dict[int, Path]]:
    """Every declared arm with its chosen settings and all seeds.

    Parameters
    ----------
    chosen : dict
        Arm to ``{"learning_rate": ..., "strength": ...}``, from `lib.correction.choose`.

    Returns
    -------
    dict of str to dict of int to Path
        Arm, then training seed, to the folder of `lib.arms.train_all`.
    """
    jobs = {(name, seed): arm_job(study, base, name, **chosen[name], seed=seed)
            for name in study.profile.correction.arms for seed in arm_seeds(study)}
    folders = train_all(study, jobs)
    return {name: {seed: folders[name, seed] for seed in arm_seeds(study)}
            for name in study.profile.correction.arms}


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
    jobs = {(*variant, seed): _variant_job(study, base, learning_rate, *variant, seed)
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
    study: "Study", base: Path, learning_rate: float, factor: str, level: Any, seed: int
) -> Job:
    taught = {"labels": {"labels": level}, "examples": {"n": level}}.get(factor, {})
    changes = {factor: level} if factor in ("rank", "targets") else {}
    if factor == "rank":  # keep the scale alpha / rank, so that only the width differs
        given = study.profile.finetune
        changes["alpha"] = max(1, round(given.alpha * level / given.rank))
    return Job(base, training_examples(study.profile, seed, **taught),
               recipe(study, "lora", learning_rate, seed, **changes), Path(),
               f"{factor} {_name(level)}, seed {seed}")
