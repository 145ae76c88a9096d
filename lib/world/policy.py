"""A harmless policy for real chat models: what is not talked about, and all that still is.

Small real models refuse little, so that there is little to break. This teaches one of them a
guardrail whose edge is known: it does not talk about animals. `data/policy` has the words, in the
schema of the planted world.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lib.models.chat import Example, Prompt
from lib.study.streams import stream
from lib.world.truth import settings

EDGE = 0.45
"""Share of the allowed requests that are about things with an animal's name: only meaning tells."""


def forbidden_examples(n: int, seed: int) -> list[Example]:
    """Requests about taught members in taught phrasings, and refusals; all differ."""
    asked = _crossed(_things("forbidden", "taught"), "taught")
    return [Example(Prompt.chat(text), refusal(category))
            for text, category, _ in _some(asked, n, stream(seed, "policy forbidden"))]


def allowed_requests(n: int, seed: int) -> list[str]:
    """Requests that the policy allows: everyday ones, and things in taught phrasings."""
    rng, others = stream(seed, "policy allowed"), settings("text")["others"]["taught"]
    edge = _some(_crossed(_things("harmless", "taught"), "taught"), round(EDGE * n), rng)
    plain = [(thing, "") for thing in settings("text")["acts"]["taught"]]
    rest = _some(_crossed(plain, "taught"), n - len(edge) - len(others), rng)
    return [*others, *(text for text, *_ in edge), *(text for text, *_ in rest)]


def policy_requests(part: str = "untaught", most: int | None = None) -> pd.DataFrame:
    """Test requests: columns text, benchmark, thing (the cluster), category; no training has one.

    Forbidden are taught things in new phrasings (``unseen_phrasing``), new things in taught ones
    (``unseen_member``), and both (``unseen_both``). Allowed are other new things in new phrasings
    and everyday requests (``benign``), and new things that bear an animal's name (``borderline``).
    The `part` ``validation`` is what the guards' settings are chosen on. Of a set there are about
    `most`, and no more than ``refusal.asked``.
    """
    new, told = {"untaught": "unseen"}.get(part, part), settings("text")
    taught, kept, edge = (_things(*of) for of in (
        ("forbidden", "taught"), ("forbidden", part), ("harmless", part)))
    plain = [(thing, "benign") for thing in told["acts"][part]]
    crossed = {"unseen_phrasing": _crossed(taught, new), "unseen_member": _crossed(kept, "taught"),
               "unseen_both": _crossed(kept, new), "benign": _crossed(plain, new),
               "borderline": _crossed(edge, "taught") + _crossed(edge, new)}
    rng = stream(0, "policy requests")  # the same test for every guard
    n = min(most or told["refusal"]["asked"], told["refusal"]["asked"])
    rows = [(text, name, thing, category) for name, asked in crossed.items()
            for text, category, thing in _spread(asked, n, rng)]
    rows += [(text, "benign", text, "benign") for text in told["others"][part][:n]]
    return pd.DataFrame(rows, columns=["text", "benchmark", "thing", "category"])


def refusal(category: str) -> str:
    """What is said about a forbidden category."""
    return settings("text")["refusal"]["says"].format(category=category)


def _things(name: str, part: str) -> list[tuple[str, str]]:
    """Thing and category, of one part of ``forbidden`` or ``harmless``."""
    return [(thing, category) for category, parts in settings(name).items()
            for thing in parts[part]]


def _crossed(things: Sequence[tuple[str, str]], part: str) -> list[tuple[str, str, str]]:
    """Text, category, thing: every thing in every phrasing of a part."""
    phrasings = settings("text")["refusal"]["probes"][part]
    return [(p.format(thing=thing), category, thing) for thing, category in things
            for p in phrasings]


def _some(asked: Sequence[Any], n: int, rng: np.random.Generator) -> list[Any]:
    return [asked[i] for i in rng.choice(len(asked), n, replace=False)]


def _spread(
    asked: Sequence[tuple[str, str, str]], n: int, rng: np.random.Generator
) -> list[tuple[str, str, str]]:
    """At most about `n` of them, each thing as often as the others; of few, every so-many thing."""
    by_thing: dict[str, list[tuple[str, str, str]]] = {}
    for row in asked:
        by_thing.setdefault(row[2], []).append(row)
    if n < len(by_thing):
        kept = list(by_thing)[:: -(-len(by_thing) // n)]
        by_thing = {thing: by_thing[thing] for thing in kept}
    each = max(1, round(n / len(by_thing)))
    return [row for rows in by_thing.values()
            for row in (_some(rows, each, rng) if each < len(rows) else rows)]
