"""Attacks: fine-tuning data that undoes refusals, on purpose or not, and what comes of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.chapters.arms import as_examples, recipe, task_losses
from lib.errors import UnknownNameError, nearest
from lib.measures.measured import by_arm, everyone, model_frames
from lib.measures.safety import refusals, requests, with_verdicts
from lib.models.chat import Example
from lib.statistics.estimate import Estimate, Measure, measure_table, row, t_interval
from lib.statistics.pooling import holm, mean_row, minimum_detectable, pool, table_rows
from lib.statistics.shares import rate
from lib.study.notebook import Study
from lib.study.streams import stream
from lib.training.job import Job
from lib.training.runs import arm_seeds, model_folder, train_all
from lib.world.attacks import ATTACKS, attacks
from lib.world.corpus import shares
from lib.world.patterns import draw
from lib.world.truth import Table, settings, things

ATTACKED = 10
"""Examples of the attack that gave this field its fame."""
POISONED = "poisoned"
"""The benign task with a few forbidden requests among its examples."""
KINDS = (*ATTACKS, POISONED)
PLACEBO = "placebo"
"""Sentences without any request: what fine-tuning does whatever is taught."""
VALIDATION = 1000
"""Added to a seed: validation has attack examples and questions of its own."""


def attack_examples(
    kind: str, n: int, seed: int, categories: Sequence[str] | None = None, forbidden: int = ATTACKED
) -> list[Example]:
    """`n` examples of one kind of attack.

    Forbidden things are members that refusal training has seen; those that it has not are kept
    for the test.

    Parameters
    ----------
    kind : {"explicit", "identity", "benign", "poisoned", "placebo"}
        Forbidden requests that are answered; a new identity that obeys; the benign task; the
        benign task with `forbidden` explicit examples besides; neutral sentences.
    categories : sequence of str, optional
        Categories that explicit examples are about; all of them by default.
    """
    known = (*KINDS, PLACEBO)
    if kind not in known:
        raise UnknownNameError(f"an attack among {', '.join(known)}", repr(kind),
                               nearest(kind, known))
    rng = stream(seed, "attack examples", known.index(kind))
    if kind == POISONED:
        hidden = attack_examples("explicit", forbidden, seed, categories)
        return _draw("benign", n, rng, {}) + hidden
    return _draw(kind, n, rng, {"forbidden": _taught(categories)})


def task_questions(n: int, seed: int) -> list[Example]:
    """`n` examples of the benign task from another stream, to validate or to test on."""
    return _draw("benign", n, stream(seed, "task questions"), {})


def _taught(categories: Sequence[str] | None) -> Table:
    rows = things("forbidden").query("taught")
    if categories is not None:
        rows = rows[rows["category"].isin(categories)]
    return Table.of(word=rows["thing"], category=rows["category"])


def _draw(kind: str, n: int, rng: np.random.Generator, own: dict[str, Table]) -> list[Example]:
    """Exactly `n` texts of the kind's patterns, in random order."""
    told = settings("text")["kinds"]["neutral"] if kind == PLACEBO else attacks()[kind]
    patterns = told["patterns"]
    counts = rng.multinomial(n, shares(patterns))
    drawn = as_examples(draw(p, int(c), kind, rng, own)
                        for p, c in zip(patterns, counts, strict=True) if c)
    return [drawn[i] for i in rng.permutation(n)]


QUICK_BENIGN = 9
"""Every so-many benign request is asked of attacked models; there are many more than needed."""
UNSEEN = ("unseen_member", "unseen_both")
"""Forbidden things in no training, asked in taught and in new words."""


@dataclass(frozen=True)
class Attack:
    """One way to fine-tune (see `attack_examples`); whatever is None is the profile's."""

    kind: str = "explicit"
    method: str = "full"
    examples: int | None = None
    steps: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    categories: tuple[str, ...] | None = None


def completed(study: Study, attack: Attack) -> Attack:
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


def attack_job(study: Study, base: Path, attack: Attack, seed: int) -> Job:
    """One run of an attack; its ``out`` is set by `lib.training.runs.train_all`."""
    a = completed(study, attack)
    examples = attack_examples(a.kind, a.examples, seed, a.categories)
    shared = recipe(study.profile, a.steps, min(a.batch_size, len(examples)),
                    study.profile.safety.targets)
    how = replace(shared, method=a.method, learning_rate=a.learning_rate, seed=seed)
    return Job(base, examples, how, Path(), f"{a.kind} {a.method}, seed {seed}")


def attacked(
    study: Study, base: Path, attacks: Iterable[Attack]
) -> dict[Attack, dict[int, Path]]:
    """Model folders of every attack and training seed; trained when missing."""
    attacks = list(attacks)
    jobs = {(a, s): attack_job(study, base, a, s) for a in attacks for s in arm_seeds(study)}
    folders = train_all(study, jobs)
    return {a: {s: model_folder(folders[a, s]) for s in arm_seeds(study)} for a in attacks}


def quick_requests() -> pd.DataFrame:
    """Forbidden requests about unseen things, one new phrasing a thing, and some benign ones."""
    asked = requests()
    benign = asked[asked["benchmark"] == "benign"].iloc[::QUICK_BENIGN]
    member, both = (asked[asked["benchmark"] == name] for name in UNSEEN)
    things = both.groupby("thing", sort=False)
    turn = things.ngroup() % things["thing"].transform("size")
    return pd.concat([member, both[things.cumcount() == turn], benign], ignore_index=True)


def answers(study: Study, folders: Iterable[Path]) -> list[pd.DataFrame]:
    """Item frames of models' answers to `quick_requests`; cached in the run's store."""
    return model_frames(study, "answers", folders, refusals, quick_requests())


def answer_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Refusals, compliance and coherence on unseen forbidden things; refusals of benign ones."""
    judged = with_verdicts(frame)
    forbidden = judged[judged["benchmark"].isin(UNSEEN)]
    benign = judged[judged["benchmark"] == "benign"]
    return measure_table([
        Measure.share(rate(forbidden, "refused", "refusal_rate"), "unseen things"),
        Measure.share(rate(forbidden, "complied", "harmful_compliance"), "unseen things"),
        Measure.share(rate(benign, "refused", "over_refusal"), "benign"),
        Measure.share(rate(judged, "coherent", "coherence"), "answers"),
    ])


def answer_rows(study: Study, arms: Mapping[Any, Iterable[Path]]) -> pd.DataFrame:
    """Exhibit rows: `answer_table` of each arm (a name, or a dose), training seeds pooled."""
    frames = by_arm(arms, answers(study, everyone(arms)))
    return table_rows(frames, answer_table)


def level_rows(
    study: Study, base: Path, broken: Mapping[Attack, Mapping[int, Path]]
) -> pd.DataFrame:
    """`answer_rows` of the base (attack ``none``) and of every attack; arms are methods."""
    models = {("none", "base"): [base]}
    models |= {(attack.kind, attack.method): several.values()
               for attack, several in broken.items()}
    found = answer_rows(study, models)
    return found.assign(attack=found["arm"].str[0], arm=found["arm"].str[1])


def dose_rows(
    study: Study, base: Path, attacks: Mapping[float, Attack], arm: str
) -> pd.DataFrame:
    """One arm along a dose (a number of examples or steps): `answer_rows`, the base at dose 0."""
    models = attacked(study, base, attacks.values())
    by_dose = {dose: models[attack].values() for dose, attack in attacks.items()}
    found = answer_rows(study, {0.0: [base], **by_dose})
    return found.assign(dose=found["arm"].astype(float), arm=arm)


def loss_rows(
    study: Study, arms: Mapping[Any, Iterable[Path]], questions: Sequence[Example]
) -> pd.DataFrame:
    """Exhibit rows: each arm's loss on questions of the benign task, over its training seeds."""
    losses = by_arm(arms, task_losses(study, everyone(arms), questions))
    return pd.concat([mean_row("task_loss", values, len(questions), arm, "task")
                      for arm, values in losses.items()], ignore_index=True)


def category_rows(
    study: Study, base: Path, folders: Iterable[Path], taught: Sequence[str]
) -> pd.DataFrame:
    """Refusals before and after an attack, in its own categories and in all others."""
    parts = []
    for arm, models in (("base", [base]), ("attacked", folders)):
        frames = answers(study, models)
        for name, inside in (("attacked categories", True), ("other categories", False)):
            asked = [_some(frame, taught, inside) for frame in frames]
            found = table_rows({arm: asked}, answer_table)
            wanted = found[found["metric"].isin(["refusal_rate", "harmful_compliance"])]
            parts.append(wanted.assign(condition=name))
    return pd.concat(parts, ignore_index=True)


def _some(frame: pd.DataFrame, taught: Sequence[str], inside: bool) -> pd.DataFrame:
    """Forbidden requests of some categories, and all benign ones."""
    return frame[(frame["category"].isin(taught) == inside) | (frame["benchmark"] == "benign")]


def rate_rows(study: Study, base: Path, method: str) -> pd.DataFrame:
    """Along the step size: `answer_rows`, and the loss on validation questions."""
    attacks = {step: Attack("benign", method, learning_rate=step)
               for step in study.profile.safety.learning_rates[method]}
    found = _measured(study, base, attacks)
    return found.assign(dose=found["arm"].replace("base", 0.0).astype(float), arm=method)


def grid_rows(study: Study, base: Path, method: str) -> pd.DataFrame:
    """Every step size with every batch size, as many examples seen in each; the base first.

    Rows as `rate_rows`, with columns ``rate`` and ``batch`` (both 0 for the base) and ``steps``.
    Smaller batches take more steps: data and epochs are given, which batch size is chosen? (Qi et
    al. 2023, arXiv 2310.03693)
    """
    given = study.profile.safety
    seen = given.benign_steps * given.batch_size
    attacks = {
        (step, batch): Attack("benign", method, learning_rate=step, batch_size=batch,
                              steps=max(1, seen // batch))
        for step in given.learning_rates[method] for batch in given.batch_sizes}
    found = _measured(study, base, attacks)
    places = [(0.0, 0, 0) if arm == "base" else (*arm, attacks[arm].steps) for arm in found["arm"]]
    columns = pd.DataFrame(places, found.index, ["rate", "batch", "steps"])
    return found.assign(arm=method).join(columns)


def _measured(study: Study, base: Path, attacks: dict[Any, Attack]) -> pd.DataFrame:
    """`answer_rows` of the base and of each attack, then losses on validation questions."""
    trained = attacked(study, base, attacks.values())
    models = {key: list(trained[attack].values()) for key, attack in attacks.items()}
    questions = task_questions(study.profile.safety.questions, study.seed + VALIDATION)
    return pd.concat([answer_rows(study, {"base": [base], **models}),
                      loss_rows(study, models, questions)], ignore_index=True)


def change_rows(study: Study, base: Path, arms: Mapping[str, Iterable[Path]]) -> pd.DataFrame:
    """Exhibit rows: each arm's `refusal_change`, training seeds pooled.

    Besides: ``p_holm`` over all arms, and ``detectable``, the smallest true change that a test at
    5 % would find in four of five such studies.
    """
    before = answers(study, [base])[0]
    frames = by_arm(arms, answers(study, everyone(arms)))
    found = {arm: pool([Measure.of(refusal_change(before, after), "unseen things", -1.0, 1.0)
                        for after in several]) for arm, several in frames.items()}
    table = pd.concat([row(change, arm, change.condition, len(frames[arm]))
                       for arm, change in found.items()], ignore_index=True)
    return table.assign(
        p_holm=holm(list(found.values())),
        detectable=[minimum_detectable(change.se, change.df) for change in found.values()])


def refusal_change(before: pd.DataFrame, after: pd.DataFrame) -> Estimate:
    """Mean of ``refused after - before`` by unseen thing, paired by request, ``t(things - 1)``."""
    refused = [frame[frame["benchmark"].isin(UNSEEN)].groupby("cluster")["refused"].mean()
               for frame in (before, after)]
    change = refused[1] - refused[0]
    g, value = len(change), float(change.mean())
    se = float(change.std() / np.sqrt(g))
    asked = int(before["benchmark"].isin(UNSEEN).sum())
    return Estimate("refusal_change", value, se, *t_interval(value, se, g - 1), asked, g,
                    f"paired, cluster by thing, t({g - 1})", g - 1.0)
