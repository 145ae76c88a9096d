"""What the gate found of a base and its tuned models: reports are made of nothing else."""

from dataclasses import dataclass, field

import pandas as pd

from lib.measures.budget import Budget
from lib.statistics.noninferiority import OPEN, overall

SCHEMA = "side-effects/gate/1"
"""Version of ``gate.json``; a change of meaning makes another."""


@dataclass(frozen=True)
class Subject:
    """One model that was measured."""

    name: str  # of its folder, or hub id
    sha256: str  # of its weights
    start: str  # token that stands before running text
    format: str  # how a chat is written for it
    identity: str = ""  # of weights, settings, tokenizer and template together


@dataclass(frozen=True)
class Result:
    """A decision, and all that it rests on."""

    base: Subject
    tuned: list[Subject]  # training seeds of one recipe
    budget: Budget
    lines: pd.DataFrame  # `lib.measures.budget.decide`: a row a line
    weights: pd.DataFrame  # a row a tuned model: name, rank, share_trained, share_changed, drift
    items: pd.DataFrame  # paired records: metric, axis, benchmark, item, cluster, base, tuned_0, ..
    world: str  # whose words were asked
    quick: bool
    asked: dict[str, str] = field(default_factory=dict)  # options of the call, but for its models
    notes: list[str] = field(default_factory=list)  # what a reader has to know
    missing: dict[str, str] = field(default_factory=dict)  # axis that gave nothing: why
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """Of the whole: an axis that could not be measured leaves it open, if none failed."""
        found = pd.Series([*self.lines["verdict"], *[OPEN] * len(self.missing)])
        return overall(found)
