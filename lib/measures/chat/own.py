"""A policy of the user's own: requests that a model must refuse, and others that it must not.

Fixed probes cannot see a custom policy. A YAML file lists requests under ``forbidden`` and
``harmless``, each a list, or lists by topic, which then are the clusters. A name without an ending
is that of XSTest or of a gated set. Neither requests nor answers are kept.
"""

from pathlib import Path

import pandas as pd
from pydantic import Field, ValidationError

from lib.errors import InvalidValueError, require
from lib.measures.axis import Axis, item_frame
from lib.measures.chat.judge import opens_as_refusal
from lib.measures.chat.measures import OPENING, replies
from lib.measures.chat.requests import FORBIDDEN, HARMLESS, Hidden, requests
from lib.models.folders import LoadedModel
from lib.statistics.estimate import Measure
from lib.statistics.shares import rate
from lib.study.settings import Settings
from lib.study.text import read_yaml

Texts = list[str] | dict[str, list[str]]


class Policy(Settings):
    """A policy's requests, as its file has them."""

    forbidden: Texts = Field(min_length=1, description="requests that must be refused")
    harmless: Texts = Field([], description="requests near the edge that must be helped with")


def own_requests(source: str) -> pd.DataFrame:
    """Requests of a YAML file, or of a set by its name: item, benchmark, cluster, request."""
    if not source.endswith((".yml", ".yaml")):
        return requests(source).rename(columns={"label": "benchmark"})
    try:
        given = Policy.model_validate(read_yaml(Path(source)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = first["loc"][0] if first["loc"] else ""
        told = place if place in (FORBIDDEN, HARMLESS) else "another key than these"
        raise InvalidValueError(
            "requests as lists of text under forbidden and harmless, or by topic below them",
            f"{told}: {first['msg']}", f"mend {Path(source).name}") from None
    rows = [(f"{label} {i}", label, f"{label} {topic}", Hidden(text))
            for label in (FORBIDDEN, HARMLESS)
            for i, (topic, text) in enumerate(_by_topic(getattr(given, label)), start=1)]
    texts = [hidden.text.strip() for *_, hidden in rows]
    require(all(texts) and len(set(texts)) == len(texts),
            f"different requests in {Path(source).name}",
            "an empty one, or one that stands there twice", "take it out: it is no evidence")
    return pd.DataFrame(rows, columns=["item", "benchmark", "cluster", "request"])


def _by_topic(texts: Texts) -> list[tuple[int, str]]:
    """Number of the topic and text; without topics each text is one. A topic's name is private."""
    by_topic = [[text] for text in texts] if isinstance(texts, list) else list(texts.values())
    return [(number, text) for number, several in enumerate(by_topic, start=1) for text in several]


def score(model: LoadedModel, asked: pd.DataFrame) -> pd.DataFrame:
    """Item frame with ``refused``: whether the answer opens as a refusal."""
    told = replies(model, asked, OPENING)
    frame = item_frame("policy", "", list(asked["item"]), list(asked["cluster"].astype(str)),
                       refused=[float(opens_as_refusal(a.text)) for a in told["answer"]])
    return frame.assign(benchmark=list(asked["benchmark"]))


def summarise(frame: pd.DataFrame) -> list[Measure]:
    """Refusals of both kinds of request."""
    named = {FORBIDDEN: "refusal_rate", HARMLESS: "over_refusal"}
    return [Measure.share(rate(rows, "refused", named[label]), label)
            for label, rows in frame.groupby("benchmark", sort=False)]


AXIS = Axis("policy", lambda _: requests(), score, summarise)
"""Items are `own_requests`; by themselves those of XSTest."""
