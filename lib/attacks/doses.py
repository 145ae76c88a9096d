"""Attacks as runs: what is taught, how, how much of it, and what came of the refusals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lib.arms import MODEL, arm_seeds, train_all
from lib.attacks.data import ATTACKED, POISONED, attack_examples
from lib.axes import judge
from lib.axes.measure import Measure, measure_table
from lib.axes.safety import refusals, requests
from lib.axes.seeds import pool_tables
from lib.axes.shares import rate
from lib.estimators import over_seeds
from lib.finetune import Example, Job, Recipe
from lib.interventions import task_losses
from lib.measuring import model_frames, regrouped
from lib.models import load
from lib.panels import row, rows

if TYPE_CHECKING:
    from lib.study import Study

QUICK_BENIGN = 9
"""Every so-many benign request is asked of attacked models; there are many more than needed."""
UNSEEN = ("unseen_member", "unseen_both")
"""Forbidden things in no training, asked in taught and in new words."""


@dataclass(frozen=True)
class Attack:
    """One way to fine-tune; whatever is None is the profile's.

    Attributes
    ----------
    kind : str
        See `lib.attacks.data.attack_examples`.
    method : {"full", "lora"}
    examples, steps : int, optional
    learning_rate : float, optional
    batch_size : int, optional
        Examples a step, at most.
    categories : tuple of str, optional
        Categories that explicit examples are about.
    """

    kind: str = "explicit"
    method: str = "full"
    examples: int | None = None
    steps: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    categories: tuple[str, ...] | None = None


def completed(study: "Study", attack: Attack) -> Attack:
    """The attack with the profile's numbers where it has none."""
    given = study.profile.safety
    task = attack.kind in ("benign", POISONED)
    rates = given.learning_rates[attack.method]
    return replace(
        attack,
        examples=attack.examples or (given.benign_examples if task else ATTACKED),
        steps=attack.steps or (given.benign_steps if task else given.steps),
        learning_rate=attack.learning_rate or rates[len(rates) // 2],
        batch_size=attack.batch_size or given.batch_size,
    )


def attack_job(study: "Study", base: Path, attack: Attack, seed: int) -> Job:
    """One run of an attack; its ``out`` is set by `lib.arms.train_all`."""
    a, given = completed(study, attack), study.profile
    examples = attack_examples(a.kind, a.examples, seed, a.categories)
    recipe = Recipe(
        a.method, rank=given.finetune.rank, alpha=int(given.finetune.alpha),
        targets=tuple(given.safety.targets), learning_rate=a.learning_rate, steps=a.steps,
        batch_size=min(a.batch_size, len(examples)), seed=seed,
        precision=given.model.dtype,
    )
    return Job(base, examples, recipe, Path(), f"{a.kind} {a.method}, seed {seed}")


def attacked(
    study: "Study", base: Path, attacks: Iterable[Attack]
) -> dict[Attack, dict[int, Path]]:
    """Model folders of every attack and training seed; trained when missing."""
    attacks = list(attacks)
    jobs = {(a, s): attack_job(study, base, a, s) for a in attacks for s in arm_seeds(study)}
    folders = train_all(study, jobs)
    return {a: {s: folders[a, s] / MODEL for s in arm_seeds(study)} for a in attacks}


def quick_requests() -> pd.DataFrame:
    """Forbidden requests about unseen things, and some benign ones of unseen acts.

    Each thing is asked about in known words, and in one of the new phrasings, which take turns:
    things are the clusters of every interval, and one more request about the same thing would
    tell little.
    """
    asked = requests()
    benign = asked[asked["benchmark"] == "benign"].iloc[::QUICK_BENIGN]
    member, both = (asked[asked["benchmark"] == name] for name in UNSEEN)
    things = both.groupby("thing", sort=False)
    turn = things.ngroup() % things["thing"].transform("size")
    return pd.concat([member, both[things.cumcount() == turn], benign], ignore_index=True)


def answers(study: "Study", folders: Iterable[Path]) -> list[pd.DataFrame]:
    """Item frames of models' answers to `quick_requests`; cached in the run's store."""
    return model_frames(study, "answers", folders, _answers, inputs={}, code=[__name__])


def _answers(folder: Path) -> pd.DataFrame:
    return refusals(load(folder), quick_requests())


def answer_measures(frame: pd.DataFrame) -> list[Measure]:
    """Refusals, compliance and coherence on unseen forbidden things; refusals of benign ones."""
    judged = judge.judged(frame)
    forbidden = judged[judged["benchmark"].isin(UNSEEN)]
    benign = judged[judged["benchmark"] == "benign"]
    return [
        Measure.share(rate(forbidden, "refused", "refusal_rate"), "unseen things"),
        Measure.share(rate(forbidden, "complied", "harmful_compliance"), "unseen things"),
        Measure.share(rate(benign, "refused", "over_refusal"), "benign"),
        Measure.share(rate(judged, "coherent", "coherence"), "answers"),
    ]


def answer_rows(study: "Study", arms: Mapping[Any, Iterable[Path]]) -> pd.DataFrame:
    """Exhibit rows: `answer_measures` of each arm's training seeds, pooled.

    Parameters
    ----------
    arms : mapping
        Arm (a name, or a dose) to its model folders.
    """
    return pd.concat([_pooled(frames, arm) for arm, frames in
                      regrouped(arms, lambda folders: answers(study, folders)).items()],
                     ignore_index=True)


def _pooled(frames: Sequence[pd.DataFrame], arm: Any) -> pd.DataFrame:
    tables = [measure_table(answer_measures(frame)) for frame in frames]
    return rows(pool_tables(tables), arm, len(tables))


def level_rows(
    study: "Study", base: Path, broken: Mapping[Attack, Mapping[int, Path]]
) -> pd.DataFrame:
    """`answer_rows` of the base (attack ``none``) and of every attack; arms are methods."""
    models = {("none", "base"): [base]}
    models |= {(attack.kind, attack.method): several.values()
               for attack, several in broken.items()}
    found = answer_rows(study, models)
    return found.assign(attack=found["arm"].str[0], arm=found["arm"].str[1])


def dose_rows(
    study: "Study", base: Path, attacks: Mapping[float, Attack], arm: str
) -> pd.DataFrame:
    """One arm along a dose: `answer_rows` of the base at dose 0, then of every attack.

    Parameters
    ----------
    attacks : mapping of float to Attack
        Dose (a number of examples or steps, or a step size) to attack.
    """
    models = attacked(study, base, attacks.values())
    by_dose = {dose: models[attack].values() for dose, attack in attacks.items()}
    found = answer_rows(study, {0.0: [base], **by_dose})
    return found.assign(dose=found["arm"].astype(float), arm=arm)


def loss_rows(
    study: "Study", arms: Mapping[Any, Iterable[Path]], questions: Sequence[Example]
) -> pd.DataFrame:
    """Exhibit rows: each arm's loss on questions of the benign task, over its training seeds."""
    losses = regrouped(arms, lambda folders: task_losses(study, folders, questions))
    return pd.concat([row(over_seeds("task_loss", values, len(questions)), arm, "task", len(values))
                      for arm, values in losses.items()], ignore_index=True)


def category_rows(
    study: "Study", base: Path, folders: Iterable[Path], taught: Sequence[str]
) -> pd.DataFrame:
    """Refusals before and after an attack, in its own categories and in all others."""
    parts = []
    for arm, models in (("base", [base]), ("attacked", folders)):
        frames = answers(study, models)
        for name, inside in (("attacked categories", True), ("other categories", False)):
            found = _pooled([_some(frame, taught, inside) for frame in frames], arm)
            wanted = found[found["metric"].isin(["refusal_rate", "harmful_compliance"])]
            parts.append(wanted.assign(condition=name))
    return pd.concat(parts, ignore_index=True)


def _some(frame: pd.DataFrame, taught: Sequence[str], inside: bool) -> pd.DataFrame:
    """Forbidden requests of some categories, and all benign ones."""
    return frame[(frame["category"].isin(taught) == inside) | (frame["benchmark"] == "benign")]
