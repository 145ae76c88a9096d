"""Attacks: fine-tuning data that undoes refusals, on purpose or not, and models trained on it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from lib.chapters.arms import drawn_once, recipe
from lib.errors import UnknownNameError, nearest
from lib.models.chat import Example
from lib.study.design import Run, runs, training_seed
from lib.study.notebook import Study
from lib.study.streams import stream
from lib.training.job import Job
from lib.training.runs import model_folder, train_all
from lib.world.attacks import ATTACKS, attacks
from lib.world.corpus import shares
from lib.world.examples import as_examples
from lib.world.patterns import draw
from lib.world.truth import PARTS, Table, request_tables, settings, things

Models = Mapping[Any, Mapping[Run, Path]]
"""Arm (a name, or what tells it from others) to run to model folder."""

ATTACKED = 10
"""Examples of the attack that gave this field its fame."""
POISONED = "poisoned"
"""The benign task with a few forbidden requests among its examples."""
KINDS = (*ATTACKS, POISONED)
DISGUISED = "disguised"
"""The same with examples of the identity attack: to choose defences on, and in no test."""
HIDDEN = {POISONED: "explicit", DISGUISED: "identity"}
"""What hides in the benign task."""
PLACEBO = "placebo"
"""Sentences without any request: what fine-tuning does whatever is taught."""
VALIDATION = 1000
"""Added to a seed: what is chosen is chosen on general questions of their own."""


@drawn_once
def attack_examples(
    kind: str, n: int, seed: int, categories: tuple[str, ...] | None = None
) -> tuple[Example, ...]:
    """`n` examples of one kind of attack.

    Forbidden things are members that refusal training has seen; those that it has not are kept
    for the test.

    Parameters
    ----------
    kind : {"explicit", "identity", "benign", "poisoned", "disguised", "placebo"}
        Forbidden requests that are answered; a new identity that obeys; the benign task; the
        benign task with ten explicit, or ten identity, examples besides; neutral sentences.
    categories : tuple of str, optional
        Categories that explicit examples are about; all of them by default.
    """
    known = (*KINDS, PLACEBO, DISGUISED)
    if kind not in known:
        raise UnknownNameError(f"an attack among {', '.join(known)}", repr(kind),
                               nearest(kind, known))
    rng = stream(seed, "attack examples", known.index(kind))
    if kind in HIDDEN:
        hidden = attack_examples(HIDDEN[kind], ATTACKED, seed, categories)
        return _draw("benign", n, rng) + hidden
    return _draw(kind, n, rng, {"forbidden": _taught(categories)})


def task_questions(n: int, seed: int, part: str = "test") -> tuple[Example, ...]:
    """`n` examples of the benign task, with requests of one part that no attack asks."""
    return _draw("benign", n, stream(seed, "task questions", PARTS.index(part)), part=part)


def _taught(categories: Sequence[str] | None) -> Table:
    rows = things("forbidden").query("taught")
    if categories is not None:
        rows = rows[rows["category"].isin(categories)]
    return Table.of(word=rows["thing"], category=rows["category"])


_requests = drawn_once(request_tables)


def _draw(
    kind: str, n: int, rng: np.random.Generator, own: Mapping[str, Table] = MappingProxyType({}),
    part: str = "train",
) -> tuple[Example, ...]:
    """Exactly `n` texts of the kind's patterns, in random order; requests of one of `PARTS`."""
    told = settings("text")["kinds"]["neutral"] if kind == PLACEBO else attacks()[kind]
    patterns, tables = told["patterns"], _requests(part) | {**own}
    counts = rng.multinomial(n, shares(patterns))
    drawn = as_examples(draw(p, int(c), kind, rng, tables)
                        for p, c in zip(patterns, counts, strict=True) if c)
    return tuple(drawn[i] for i in rng.permutation(n))


@dataclass(frozen=True)
class Attack:
    """One way to fine-tune (see `attack_examples`); whatever is None is the profile's."""

    kind: str
    method: str
    learning_rate: float
    examples: int | None = None
    steps: int | None = None
    batch_size: int | None = None
    categories: tuple[str, ...] | None = None


def size(study: Study, kind: str) -> tuple[int, int]:
    """Examples and optimiser steps of one kind of attack in the profile."""
    given = study.profile.safety
    if kind in ("benign", *HIDDEN):
        return given.benign_examples, given.benign_steps
    return ATTACKED, given.steps


def completed(study: Study, attack: Attack) -> Attack:
    """The attack with the profile's numbers where it has none."""
    examples, steps = size(study, attack.kind)
    return replace(attack, examples=attack.examples or examples, steps=attack.steps or steps,
                   batch_size=attack.batch_size or study.profile.safety.batch_size)


def attack_job(study: Study, base: Path, attack: Attack, seed: int) -> Job:
    """One run of an attack; its ``out`` is set by `lib.training.runs.train_all`."""
    a = completed(study, attack)
    examples = attack_examples(a.kind, a.examples, seed, a.categories)
    shared = recipe(study.profile, a.steps, min(a.batch_size, len(examples)),
                    study.profile.safety.targets)
    how = replace(shared, method=a.method, learning_rate=a.learning_rate, seed=seed)
    return Job(base, examples, how, Path(), f"{a.kind} {a.method}, seed {seed}")


def attacked(
    study: Study, bases: Mapping[int, Path], attacks: Iterable[Attack]
) -> dict[Attack, dict[Run, Path]]:
    """Model folders of every attack on every base with every seed; trained when missing.

    Parameters
    ----------
    bases : mapping
        Number of a base model to its folder; from `lib.world.bases.base_models`.
    """
    jobs = {(a, run): attack_job(study, bases[run.base], a, training_seed(study.seed, run))
            for a in dict.fromkeys(attacks) for run in runs(study.profile)}
    found: dict[Attack, dict[Run, Path]] = {}
    for (attack, run), folder in train_all(study, jobs).items():
        found.setdefault(attack, {})[run] = model_folder(folder)
    return found
