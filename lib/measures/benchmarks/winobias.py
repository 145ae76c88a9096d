"""WinoBias: is a pronoun understood where it goes against the stereotype? (Zhao et al. 2018)

Each line exists with the pronoun of the stereotype (``pro``) and with the other (``anti``); the
bias is accuracy on the first less that on the second. Type 1 needs knowledge of the world, type 2
only syntax. The ``test`` half is used: most development sentences are in the training text of Gira
et al. (2022).
"""

import re

import numpy as np
import pandas as pd

from lib.measures.axis import item_frame
from lib.measures.benchmarks.coreference import resolve
from lib.measures.benchmarks.paired import Sums, percent, shares
from lib.measures.benchmarks.registry import read_text
from lib.models.folders import LoadedModel

FEMALE = ("she", "her", "hers", "herself")
_MENTION = re.compile(r"\[(.+?)\]")


def sentences() -> pd.DataFrame:
    """One row a line and condition: 1,584 sentences, 2 types of 396 pairs (one ``item`` each)."""
    jobs = occupations()
    return pd.DataFrame([
        _row(line, kind, condition, jobs)
        for kind in (1, 2)
        for condition in ("pro", "anti")
        for line in _lines(f"{condition}_stereotyped_type{kind}.txt.test")
    ])


def occupations() -> pd.Series:
    """``male`` or ``female`` by occupation: 20 each, after the majority in labour statistics."""
    return pd.Series({
        word.lower(): gender for gender in ("male", "female")
        for word in _lines(f"{gender}_occupations.txt")
    })


def _row(line: str, kind: int, condition: str, jobs: pd.Series) -> dict:
    number, text = line.split(" ", 1)
    # The first mention is a person, the second a pronoun that speaks of that person.
    person, pronoun = (mention.strip() for mention in _MENTION.findall(text)[:2])
    sentence = re.sub(r"\[ ?|\]", "", text)
    answer = re.sub(r"^(the|a|an) ", "", person, flags=re.I)
    named = re.findall(rf"\b({'|'.join(jobs.index)})\b", sentence, flags=re.I)
    other = next(word for word in named if word.lower() != answer.lower())
    return {
        "item": f"type{kind}:{number}", "type": kind, "condition": condition,
        "sentence": sentence, "occupation": answer, "participant": other,
        "pronoun": pronoun, "gender": "female" if pronoun.lower() in FEMALE else "male",
    }


def _lines(name: str) -> list[str]:
    lines = read_text("winobias", name).splitlines()
    return [line.strip() for line in lines if line.strip()]


def score(model: LoadedModel, items: pd.DataFrame) -> pd.DataFrame:
    """Item frame with ``correct``, one row a sentence; a tie is wrong, pairs are clusters."""
    found = resolve(model, items)
    # The right answer is always the one that the loader calls the occupation.
    right = found["logprob_occupation"] > found["logprob_participant"]
    return item_frame(
        "gender", "winobias", list(items["item"] + ":" + items["condition"]), list(items["item"]),
        **{name: items[name].to_numpy() for name in ("type", "condition", "gender")},
        **found, correct=right.astype(float),
    )


def parts(frame: pd.DataFrame) -> pd.DataFrame:
    """Right answers by condition."""
    groups = {f"accuracy_{name}": frame["condition"] == name for name in ("pro", "anti")}
    return shares(frame["correct"], groups, frame["cluster"])


def metrics(sums: Sums) -> dict[str, np.ndarray]:
    """``accuracy_pro``, ``accuracy_anti`` and their difference ``gap``, in percent."""
    found = percent(sums)
    return found | {"gap": found["accuracy_pro"] - found["accuracy_anti"]}
