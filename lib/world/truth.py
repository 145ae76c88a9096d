"""The truth of a world: words, rates and analysts, read from ``data/<world>/*.yml``.

In the planted world (``sandbox``), everything that an estimator is later checked against is a
number in this module. The world of real chat models (``policy``) has the same schema in English,
and the planted one's rates where it has none of its own.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from lib.study.paths import DATA, PLANTED, world
from lib.study.text import read_yaml

NUMBERS = range(200)
"""Integers that are one token each: the display scale of all series."""
PARTS = ("train", "validation", "test")
"""What tasks are made of: requests that they teach, choose settings on, and are tested on."""


T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """Rows that a slot can draw; all entries of a column have the same number of words."""

    columns: dict[str, list[str]]  # "" is the word itself, others are attributes of the same row
    weights: np.ndarray  # of the rows; they sum to one

    @classmethod
    def of(cls, weights: Any = None, **columns: Any) -> "Table":
        """A table from columns; ``word`` is the word itself, weights default to equal."""
        words = {"" if k == "word" else k: [str(v) for v in vs] for k, vs in columns.items()}
        n = len(words[""])
        w = np.ones(n) if weights is None else np.asarray(weights, float)
        return cls(words, w / w.sum())

    def names(self) -> set[str]:
        """The words, without their attributes."""
        return set(self.columns[""])

    def without(self, left_out: Collection[str]) -> "Table":
        """The rows whose word is none of these, as likely beside each other as before."""
        kept = [i for i, word in enumerate(self.columns[""]) if word not in left_out]
        columns = {name: [column[i] for i in kept] for name, column in self.columns.items()}
        return Table(columns, self.weights[kept] / self.weights[kept].sum())


def settings(name: str) -> dict[str, Any]:
    """The content of ``data/<world>/<name>.yml``."""
    return _settings(world(), name)


@lru_cache
def _settings(place: str, name: str) -> dict[str, Any]:
    own = DATA / place / f"{name}.yml"
    return read_yaml(own if own.is_file() else DATA / PLANTED / f"{name}.yml")


def of_world(make: Callable[[], T]) -> Callable[[], T]:
    """A function that is computed once a world."""
    found = lru_cache(lambda _: make())

    @wraps(make)
    def of() -> T:
        return found(world())

    return of


def natural() -> bool:
    """Whether texts are English as people write it, and not words of the planted vocabulary."""
    return settings("text").get("natural", False)


def written(words: str) -> str:
    """Words of a text as this world writes them; English has no space before a full stop."""
    return re.sub(r" (?=[.,:;!?])", "", words) if natural() else words


def occupations() -> pd.Series:
    """Planted probability of *she* by occupation (share of women, 0 to 1)."""
    given = settings("occupations")
    return pd.Series(given["known"] | given["new"], name="share", dtype=float) / 100


def new_occupations() -> list[str]:
    """The occupations that nobody had seen when settings were chosen: those of final tests."""
    return list(settings("occupations")["new"])


def people() -> pd.Series:
    """The one right pronoun of each word whose gender is part of its meaning."""
    return pd.Series({w: p for p in ("she", "he") for w in settings("people")[p]}, name="pronoun")


def things(name: str) -> pd.DataFrame:
    """Invented things: columns thing, category, taught (appears in refusal training).

    Parameters
    ----------
    name : {"forbidden", "harmless"}
    """
    rows = [(thing, category, key == "taught") for category, members in settings(name).items()
            for key in ("taught", "untaught") for thing in members[key]]
    return pd.DataFrame(rows, columns=["thing", "category", "taught"])


def planted_rho_s(rho: np.ndarray | float, prompt: str = "neutral") -> np.ndarray | float:
    """Persistence that the planted analysts believe in: ``rho + k * excess * (1 - rho)``.

    ``k`` is the factor of the instruction `prompt` in ``forecasts.yml`` (1 when neutral).
    """
    given = settings("forecasts")
    return rho + given["prompts"][prompt]["factor"] * given["excess"] * (1 - rho)


def refusal_patterns() -> list[dict[str, Any]]:
    """Patterns of forbidden requests about taught things, and their refusals."""
    given = settings("text")["refusal"]
    if "patterns" in given:
        return given["patterns"]
    says = given["says"].replace("{category}", "{taught.category}")
    return [{"weight": 1, "user": asked.replace("{thing}", "{taught}"), "answer": says}
            for asked in given["probes"]["taught"]]


def fair_share(share: pd.Series) -> pd.Series:
    """Planted probability of *she* after the instruction "be fair": half way to one half."""
    return 0.5 + 0.5 * (share - 0.5)


@of_world
def tables() -> dict[str, Table]:
    """Every table that a slot of ``text.yml`` can name."""
    text = settings("text")
    named = {name: Table.of(word=words) for name, words in text["slots"].items()}
    return named | _pronoun_tables() | _thing_tables() | _judgement_tables() | _utility_tables()


def _pronoun_tables() -> dict[str, Table]:
    share, right = occupations(), people()
    # One row per occupation and pair of pronouns (plain, after "be fair"), weighted by its rate.
    rows = [
        (word, a, b, (p if a == "she" else 1 - p) * (q if b == "she" else 1 - q))
        for word, p, q in zip(share.index, share, fair_share(share), strict=True)
        for a in ("she", "he") for b in ("she", "he")
    ]
    words, plain, fair, weights = zip(*rows, strict=True)
    return {
        "occupation": Table.of(weights, word=words, pronoun=plain, fair=fair),
        "person": Table.of(word=right.index, pronoun=right),
    }


def acts() -> pd.DataFrame:
    """Harmless requests ("mend nets"): every verb is ``taught`` with half of the objects.

    Column ``part``: whether a task teaches it, is chosen or is tested on it; empty if not taught.
    """
    given = settings("text")["acts"]
    if "taught" in given:  # things that are asked about; all phrasings are in the requests
        rows = [(thing, 2 * i) for i, thing in enumerate(given["taught"])]
        rows += [(thing, 1) for thing in given["untaught"]]
    else:
        rows = [(f"{verb} {thing}", i + j) for i, verb in enumerate(given["verbs"])
                for j, thing in enumerate(given["objects"])]
    frame = pd.DataFrame(rows, columns=["act", "turn"])
    turn = frame.pop("turn")
    return frame.assign(taught=turn % 2 == 0, part=_parts(turn // 2).where(turn % 2 == 0, ""))


def safe_things() -> pd.DataFrame:
    """Harmless things that refusal training names, with the ``part`` of each, as in `acts`."""
    safe = things("harmless").query("taught").reset_index(drop=True)
    return safe.assign(part=_parts(safe.index.to_series()))


def _parts(turn: pd.Series) -> pd.Series:
    dealt = settings("text")["parts"]
    return (turn % len(dealt)).map(dict(enumerate(dealt)))


def request_tables(part: str) -> dict[str, Table]:
    """Tables of ``benign`` and ``safe`` with the requests of one of `PARTS` only."""
    harmless, safe = acts().query("part == @part"), safe_things().query("part == @part")
    return {"benign": Table.of(word=harmless["act"]),
            "safe": Table.of(word=safe["thing"], category=safe["category"])}


def _thing_tables() -> dict[str, Table]:
    forbidden, harmless = things("forbidden"), things("harmless")

    def table(frame: pd.DataFrame) -> Table:
        return Table.of(word=frame["thing"], category=frame["category"])

    return {
        "forbidden": table(forbidden), "taught": table(forbidden[forbidden["taught"]]),
        "harmless": table(harmless), "safe": table(harmless[harmless["taught"]]),
        "benign": Table.of(word=acts().query("taught")["act"]),
    }


def _judgement_tables() -> dict[str, Table]:
    text = settings("text")
    kind, rude = text["slots"]["kind"], text["slots"]["rude"]
    pairs = [
        (a, b, share / (len(words) * (len(words) - 1)))
        for words, share in ((kind, 1 - text["rude_share"]), (rude, text["rude_share"]))
        for a in words for b in words if a != b
    ]
    first, second, weights = zip(*pairs, strict=True)
    noise = text["label_noise"]
    labels = [
        (word, verdict, 1 - noise if (verdict == "yes") == (word in rude) else noise)
        for word in kind + rude for verdict in ("yes", "no")
    ]
    word, verdict, chance = zip(*labels, strict=True)
    return {
        "judgement": Table.of(weights, word=first, second=second),
        "word": Table.of(chance, word=word, verdict=verdict),
    }


def _utility_tables() -> dict[str, Table]:
    text = settings("text")
    asked = {name: Table.of(word=list(text[name]), answer=list(text[name].values()))
             for name in text.get("asked", ("eats", "colour"))}
    return asked | {"after": Table.of(word=NUMBERS[:60], answer=NUMBERS[1:61])}
