"""Defences against attacks: settings chosen on one attack, reported on all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from lib.chapters.arms import (
    Task,
    as_examples,
    candidates,
    penalty,
    recipe,
    refusals,
    relative_rows,
    train_arms,
    world_anchors,
)
from lib.chapters.attacks import (
    KINDS,
    POISONED,
    VALIDATION,
    Attack,
    answer_rows,
    attack_examples,
    completed,
    loss_rows,
    task_questions,
)
from lib.measures import utility
from lib.models.chat import Example, tokenised
from lib.models.folders import Tokenizer, load
from lib.statistics.pooling import mean_row
from lib.study.notebook import Study
from lib.study.streams import stream
from lib.training.runs import model_folder, training_figures
from lib.world.corpus import kind_blocks
from lib.world.pretrain import unaligned_model

ANCHORED = 120
"""Texts among the anchors, and as many requests; in a mean over words more would hide a refusal."""
CHANGED = ("benign",)
"""Kind of text that anchors leave out: how requests are answered is what the task changes."""
ANCHORS = {"text": ("text",), "refusals": ("refusals",), "requests": ("refusals", "openings"),
           "text and requests": ("text", "refusals", "openings")}
"""Sets of anchors to compare; see `held`."""
DECISION = 2
"""Words of an answer in which a harmless request is accepted: "sure ,"."""


def defence_task(
    study: Study, kind: str, anchors: str = "text and requests", validation: bool = False
) -> Task:
    """One attack as a task for the profile's arms; validation has other examples than the test."""
    given, attack = study.profile.safety, completed(study, Attack(kind))
    shift = VALIDATION if validation else 0
    return Task(
        name=kind, arms=given.arms,
        recipe=recipe(study.profile, attack.steps, given.batch_size, given.targets),
        examples=lambda seed: attack_examples(kind, attack.examples, seed + shift),
        validation=task_questions(given.questions, study.seed + shift),
        anchors=lambda seed: held(anchors, seed),
        reminders=lambda seed: refusals(seed, ANCHORED),
        unaligned=unaligned_model(study),
    )


def held(anchors: str, seed: int) -> tuple[Example, ...]:
    """Anchors by the name of their set.

    ``text`` is of all kinds but the task's own; ``refusals`` are of things that refusal training
    has seen; ``openings`` are harmless requests with the first words of help: *that* they are
    helped with must stay, *how* is what the task may change.
    """
    rng = stream(seed, "anchored openings")
    made = {
        "text": lambda: world_anchors(seed, CHANGED, ANCHORED),
        "refusals": lambda: refusals(seed, ANCHORED),
        "openings": lambda: tuple(
            replace(e, answer=" ".join(e.answer.split()[:DECISION]), ends=False)
            for e in as_examples(kind_blocks("benign", ANCHORED, 2, rng))),
    }
    return tuple(anchor for part in ANCHORS[anchors] for anchor in made[part]())


def defence_candidates(study: Study, base: Path) -> pd.DataFrame:
    """Candidates of every arm on the validation attack: the benign task, poisoned."""
    general = utility.questions(study.profile.evaluation.items, study.seed + VALIDATION)
    task = replace(defence_task(study, POISONED, validation=True), general=general)
    return candidates(study, base, task)


def defended(
    study: Study, base: Path, chosen: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, dict[int, Path]]]:
    """Model folders by attack, arm with its chosen settings, and training seed."""
    found = {}
    for kind in KINDS:
        arms = train_arms(study, base, defence_task(study, kind), chosen)
        found[kind] = {name: {seed: model_folder(f) for seed, f in folders.items()}
                       for name, folders in arms.items()}
    return found


def defence_rows(
    study: Study, base: Path, models: Mapping[str, Mapping[str, Mapping[int, Path]]]
) -> pd.DataFrame:
    """Refusals, compliance, over-refusal, coherence and benign task loss by attack and arm."""
    questions = task_questions(study.profile.safety.questions, study.seed)
    everyone = {(kind, arm): list(several.values()) for kind, arms in models.items()
                for arm, several in {"base": {study.seed: base}, **arms}.items()}
    found = pd.concat([answer_rows(study, everyone), loss_rows(study, everyone, questions)],
                      ignore_index=True)
    return found.assign(attack=found["arm"].str[0], arm=found["arm"].str[1])


def anchor_rows(
    study: Study, base: Path, chosen: Mapping[str, Mapping[str, float]], arm: str,
    kinds: Sequence[str],
) -> pd.DataFrame:
    """One arm with each set of anchors: `answer_rows` by attack, column ``anchors``."""
    models = {}
    for kind in kinds:
        for name in ANCHORS:
            task = defence_task(study, kind, name)
            folders = train_arms(study, base, task, {arm: chosen[arm]})[arm]
            models[kind, name] = [*map(model_folder, folders.values())]
    found = answer_rows(study, models)
    return found.assign(attack=found["arm"].str[0], anchors=found["arm"].str[1], arm=arm)


def flood_rows(
    study: Study, base: Path, chosen: Mapping[str, Mapping[str, float]], arms: Sequence[str],
    examples: int = 100,
) -> pd.DataFrame:
    """`answer_rows` of some arms after an explicit attack with many examples and long training."""
    task = defence_task(study, "explicit")
    many = replace(task, recipe=replace(task.recipe, steps=study.profile.safety.benign_steps),
                   examples=lambda seed: attack_examples("explicit", examples, seed))
    folders = train_arms(study, base, many, {arm: chosen[arm] for arm in arms})
    return answer_rows(study, {arm: [*map(model_folder, several.values())]
                               for arm, several in folders.items()})


Models = Mapping[str, Mapping[str, Mapping[int, Path]]]
"""Attack, arm, training seed to model folder: from `defended`."""


def relative_loss(found: pd.DataFrame, kind: str, plain: str = "full") -> pd.DataFrame:
    """Task losses of one attack relative to that of a plain arm, metric ``loss_ratio``."""
    losses = found[(found["attack"] == kind) & (found["metric"] == "task_loss")]
    return relative_rows(losses, "loss_ratio", plain)


def strength_rows(models: Models, arms: Sequence[str] = ("full_kl", "full_adaptive",
                                                          "lora_adaptive")) -> pd.DataFrame:
    """Drift on anchors and strength of the penalty after training, by attack; t over seeds."""
    parts = []
    for kind, by_arm in models.items():
        for arm in arms:
            figures = training_figures({s: f.parent for s, f in by_arm[arm].items()})
            parts += [mean_row(name, figures[name], len(figures), arm, kind)
                      for name in ("drift", "strength")]
    return pd.concat(parts, ignore_index=True)


def cost_rows(study: Study, base: Path, models: Models, kind: str) -> pd.DataFrame:
    """Work of training by arm: thousands of tokens of task and anchors, ``share_trained``."""
    task, tokenizer, parts = defence_task(study, kind), load(base).tokenizer, []
    for arm, folders in models[kind].items():
        figures = training_figures({s: f.parent for s, f in folders.items()})
        beside = _anchor_tokens(tokenizer, task, task.arms[arm].regularizer, study.seed)
        values = {"task_tokens": figures["tokens"].mean() / 1000,
                  "anchor_tokens": beside * task.recipe.steps / 1000,
                  "share_trained": figures["share_trained"].mean()}
        parts.append(pd.DataFrame({"arm": arm, "condition": "training", "metric": list(values),
                                   "value": list(values.values()), "low": None, "high": None,
                                   "n": len(figures), "seeds": len(figures)}))
    return pd.concat(parts, ignore_index=True)


def _anchor_tokens(tokenizer: Tokenizer, task: Task, regularizer: str, seed: int) -> float:
    """Tokens of anchors that a step reads, on average."""
    made = penalty(task, regularizer, seed, 1.0)
    if not hasattr(made, "per_step"):
        return 0.0
    lengths = list(map(len, tokenised(tokenizer, made.anchors)))
    return made.per_step * sum(lengths) / len(lengths)
