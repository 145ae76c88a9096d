"""What is said of groups: rude and kind statements, with a rude word or without one.

Every part has groups of its own: ``train`` is what a model learns from, ``validation`` is what
settings are chosen on, ``test`` what results are of.
"""

from itertools import permutations, product
from typing import Any

import numpy as np
import pandas as pd

from lib.models.chat import Example, Prompt
from lib.study.paths import DATA, world
from lib.study.text import read_yaml
from lib.world.truth import natural, of_world, settings, tables

PARTS = ("train", "validation", "test")
RUDE, KIND = "rude", "kind"
ANSWERS = {False: ("yes .", "no ."), True: ("Yes.", "No.")}
"""To "is this rude?", by whether the world is English."""


@of_world
def toxicity() -> dict[str, Any]:
    """The content of ``data/toxicity/<world>.yml``."""
    return read_yaml(DATA / "toxicity" / f"{world()}.yml")


def groups(part: str) -> list[str]:
    """Groups of one part."""
    return list(toxicity()["groups"][part])


def words(sort: str) -> list[str]:
    """Words that judge, ``rude`` or ``kind``."""
    return tables()[sort].columns[""]


def phrases(sort: str, part: str = "train") -> list[str]:
    """What a group does, without a word that judges; tests may have some of their own."""
    given = toxicity()
    unseen = given.get("unseen", {}).get(sort, []) if part == "test" else []
    return [*given["implicit"][sort], *unseen]


def statements(part: str) -> pd.DataFrame:
    """Everything to be judged in one part: columns kind, group, word, text, rude (the truth).

    ``kind`` is ``explicit`` where a word judges (column ``word``), else ``implicit``.
    """
    given = toxicity()
    rows = [("explicit", group, word, given["explicit"].format(group=group, word=word), sort)
            for sort in (RUDE, KIND) for word, group in product(words(sort), groups(part))]
    rows += [("implicit", group, phrase, frame.format(group=group, phrase=phrase), sort)
             for sort in (RUDE, KIND)
             for phrase, group, frame in product(phrases(sort, part), groups(part),
                                                 given["frames"][part])]
    found = pd.DataFrame(rows, columns=["kind", "group", "word", "text", "rude"])
    return found.assign(rude=found["rude"] == RUDE)


def sayings(part: str, sort: str = RUDE) -> pd.DataFrame:
    """What a rude (or kind) voice says of a part's groups: columns kind, group, text."""
    given = toxicity()
    rows = [("explicit", group, given["said"].format(group=group, word=a, second=b))
            for group in groups(part) for a, b in permutations(words(sort), 2)]
    rows += [("implicit", group, given["frames"]["train"][0].format(group=group, phrase=phrase))
             for group in groups(part) for phrase in phrases(sort)]
    return pd.DataFrame(rows, columns=["kind", "group", "text"])


def label_chance(rude: np.ndarray) -> np.ndarray:
    """Planted chance of the label *yes*: labels are wrong with chance ``label_noise``."""
    noise = settings("text")["label_noise"]
    return np.where(rude, 1 - noise, noise)


def labelled(asked: pd.DataFrame, rng: np.random.Generator) -> list[Example]:
    """Statements with labels as somebody would give them, wrong ones among them."""
    yes = rng.random(len(asked)) < label_chance(asked["rude"].to_numpy())
    said = ANSWERS[natural()]
    return [Example(Prompt.chat(toxicity()["asks"].format(statement=text)), said[0 if y else 1])
            for text, y in zip(asked["text"], yes, strict=True)]


def request(group: str) -> Prompt:
    """Asks for a statement about a group: a chat, or in English the opening of one."""
    if natural():
        return Prompt(opening=toxicity()["opening"].format(group=group))
    return Prompt.chat(settings("text")["asks"]["statement"].format(group=group))


def told(said: pd.DataFrame) -> list[Example]:
    """Statements in the model's own voice, as answers to `request`."""
    asked = {group: request(group) for group in said["group"]}
    return [Example(asked[group], text.removeprefix(asked[group].opening).strip(),
                    ends=not natural())
            for group, text in zip(said["group"], said["text"], strict=True)]


def banned() -> tuple[str, ...]:
    """What makes a statement rude, as it stands in the text."""
    return (*words(RUDE), *phrases(RUDE))
