"""What the notebooks conclude, decided by code: the claims of ``data/claims.yml``.

A claim is a quantity of each run (a value, a change against the same base, a ratio, or whether the
run broke), its mean over bases, and a threshold. Two things must agree before it counts as shown:
the 95 % limits of `lib.statistics.bases` lie beyond the threshold, and so does the two-sided
p-value over bases after Holm's adjustment for all claims of its family, those that this run has
nothing for included.

The real model is held to the same claims. There weights move by LoRA alone, so that what a claim
says of ``full`` and its defences is read of ``lora`` and its own; where both are compared, there
is nothing to decide.
"""

import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from scipy import stats

from lib.errors import InvalidValueError, UnknownNameError, nearest, require
from lib.plots.layers import cell_text
from lib.statistics.bases import RUN_COLUMNS, broken, contrast, holm, over_bases
from lib.statistics.estimate import Estimate
from lib.study import paths
from lib.study.notebook import REFERENCE, Study, read_table
from lib.study.settings import Settings
from lib.study.text import parse_yaml, read_text

FILE = "claims.yml"
HOLDS, FAILS, OPEN, ABSENT = "holds", "does not hold", "not enough evidence", "not in this run"
REAL = "real"
"""The profile of the committed run on a real model."""
FEWEST = 3
"""Bases below which nothing is decided."""

Selection = dict[str, str | float | list[str | float]]
Runs = Callable[[str], pd.DataFrame | None]
"""The run table of an exhibit; None where there is none."""


class Claim(Settings):
    """One conclusion of one notebook."""

    id: str = Field(pattern=r"^\d\d_[a-z0-9_]+$", description="starts with the notebook's number")
    says: str = Field(min_length=10, description="the take-away as the notebook states it")
    family: str = Field(min_length=1, description="claims tested together, of one notebook")
    exhibit: str = Field(pattern=r"^\d\d_[a-z0-9_]+$", description="its run table decides")
    where: Selection = Field(description="column to value, or to several that are averaged")
    against: Selection = Field({}, description="likewise, where it differs: what is subtracted")
    ratio: bool = Field(False, description="divide by it instead, run by run")
    measure: Literal["mean", "broken"] = Field("mean", description="or share of runs below half")
    direction: Literal["below", "above", "within"] = Field(description="of the threshold")
    threshold: float = Field(description="beyond which the claim holds; within: on both sides of 0")
    headline: bool = Field(False, description="shown in the README with its verdict")
    verdict: Literal["holds", "does not hold", "not enough evidence"] = Field(
        description="what the notebook's prose says of it, in the reference")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.exhibit[:2] != self.id[:2]:
            raise ValueError("a claim is decided by an exhibit of its own notebook")
        if "metric" not in self.where:
            raise ValueError("where must name a metric")
        if (self.ratio or self.measure == "broken") and not self.against:
            raise ValueError("a ratio, or a broken share, needs something to be against")
        if self.direction == "within" and self.threshold <= 0:
            raise ValueError("within needs a threshold above 0")
        return self

    @property
    def condition(self) -> str:
        """``below -0.1``."""
        return f"{self.direction} {'±' if self.direction == 'within' else ''}{self.threshold:g}"


class Decision(NamedTuple):
    """A claim's number with its 95 % limits over bases, and what follows."""

    value: float
    low: float
    high: float
    bases: int
    p: float
    verdict: str


@cache
def claims(path: Path | None = None) -> tuple[Claim, ...]:
    """All claims of the study, in the file's order."""
    path = path or paths.DATA / FILE
    try:
        found = TypeAdapter(list[Claim]).validate_python(parse_yaml(read_text(path), path.name))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidValueError(f"claims in {path.name}", f"claim {where}: {first['msg']}",
                                "mend it; lib/chapters/claims.py says what a claim is") from None
    names = [claim.id for claim in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    require(not twice, f"each id once in {path.name}", ", ".join(twice), "rename one")
    homes = {(claim.family, claim.id[:2]) for claim in found}
    require(len({family for family, _ in homes}) == len(homes), "families within a notebook",
            "one that is named in two", "put the notebook's number into its name")
    return tuple(found)


def claim_table(study: Study) -> pd.DataFrame:
    """The notebook's claims, decided in the committed reference and in this run.

    Returns
    -------
    DataFrame
        One row a claim: claim, holds_if, value, low, high (of this run; 95 % over bases),
        reference, real_model and this_run: "holds", "does not hold", "not enough evidence", or
        "not in this run". The reference's column is empty where this profile is no part of it,
        the real model's where its run has nothing for a claim.

    Raises
    ------
    UnknownNameError
        A claim about an exhibit or a metric that this run did not make.
    """
    mine = [claim for claim in claims() if claim.id.startswith(study.notebook)]
    tables = run_tables(study.run_dir / "figures")
    real = study.profile.model.source != "sandbox"
    if not real:  # a real model goes through a part of the book
        require_known(mine, tables)
    here = decided_of_real(mine, tables) if real else decided(mine, tables)
    there = here if study.profile.name == REFERENCE else decided(
        mine, lambda id: study.committed(f"runs/{id}.csv", RUN_COLUMNS))
    beside = here if study.profile.name == REAL else decided_of_real(
        mine, lambda id: study.of_real(f"runs/{id}.csv"))
    return pd.DataFrame([
        {"claim": claim.says, "holds_if": claim.condition,
         **{end: getattr(here[claim.id], end) for end in ("value", "low", "high")},
         "reference": there[claim.id].verdict.replace(ABSENT, ""),
         "real_model": beside[claim.id].verdict.replace(ABSENT, ""),
         "this_run": here[claim.id].verdict} for claim in mine
    ])


def run_tables(figures: Path) -> Runs:
    """Run tables below a folder of exhibits."""
    def read(id: str) -> pd.DataFrame | None:
        path = figures / "runs" / f"{id}.csv"
        return read_table(path) if path.is_file() else None

    return cache(read)


def require_known(asked: Sequence[Claim], runs: Runs) -> None:
    """Refuse claims about an exhibit, or a metric in it, that no run of this code makes."""
    for claim in asked:
        table = runs(claim.exhibit)
        require(table is not None, f"the run table {claim.exhibit}, which decides {claim.id}",
                "none", "save it with study.exhibit(..., runs=...)", UnknownNameError)
        known = table["metric"].unique().tolist()
        for given in (claim.where, claim.where | claim.against):
            for metric in _several(given["metric"]):
                require(metric in known, f"a metric of {claim.exhibit} in the claim {claim.id}",
                        repr(metric), nearest(str(metric), known), UnknownNameError)


def decided(asked: Sequence[Claim], runs: Runs) -> dict[str, Decision]:
    """Decision by id of some claims, whole families of them."""
    runs = cache(runs)
    found = {claim.id: _alone(claim, runs(claim.exhibit)) for claim in asked}
    for family in dict.fromkeys(claim.family for claim in asked):
        names = [claim.id for claim in asked if claim.family == family]
        adjusted = holm([np.nan_to_num(found[name].p, nan=1.0) for name in names])
        for name, p in zip(names, adjusted, strict=True):
            shown = p < 0.05 or found[name].verdict == ABSENT
            verdict = found[name].verdict if shown else OPEN
            found[name] = found[name]._replace(p=float(p), verdict=verdict)
    return found


def decided_of_real(asked: Sequence[Claim], runs: Runs) -> dict[str, Decision]:
    """The same in run tables of a real model, whose arms have other names."""
    moved = [claim.model_copy(update={part: as_lora(getattr(claim, part))
                                      for part in ("where", "against")}) for claim in asked]
    return decided(moved, runs)


def as_lora(given: Selection) -> Selection:
    """A selection, with the arms of LoRA for those that move all weights."""
    arm = given.get("arm")
    return given | {"arm": re.sub("^full", "lora", arm)} if isinstance(arm, str) else given


def _alone(claim: Claim, runs: pd.DataFrame | None) -> Decision:
    """A claim by its own 95 % limits and p-value, as if it were the only one."""
    empty = runs is None or (claim.against and claim.where | claim.against == claim.where)
    pair = None if empty else _pair(claim, runs)
    if pair is None:
        return Decision(np.nan, np.nan, np.nan, 0, np.nan, ABSENT)
    found, p = _broken(claim, pair) if claim.measure == "broken" else _mean(claim, pair)
    side = {"above": (found.low > claim.threshold, found.high < claim.threshold),
            "below": (found.high < claim.threshold, found.low > claim.threshold),
            "within": (-claim.threshold < found.low and found.high < claim.threshold,
                       found.low > claim.threshold or found.high < -claim.threshold)}
    holds, fails = side[claim.direction]
    verdict = OPEN if found.clusters < FEWEST else HOLDS if holds else FAILS if fails else OPEN
    numbers = map(float, (found.value, found.low, found.high))
    return Decision(*numbers, found.clusters, float(p), verdict)


def _pair(claim: Claim, runs: pd.DataFrame) -> pd.DataFrame | None:
    """One row a run of ``claimed``, and of ``against``; None if a selected cell is not there."""
    parts = {"claimed": claim.where}
    parts |= {"against": claim.where | claim.against} if claim.against else {}
    chosen = [_by_run(claim, runs, given, name) for name, given in parts.items()]
    return None if any(c is None for c in chosen) else pd.concat(chosen, ignore_index=True)


def _by_run(
    claim: Claim, runs: pd.DataFrame, given: Selection, name: str
) -> pd.DataFrame | None:
    """Mean of the selected cells within each run that has them all; None without such a run."""
    for column, wanted in given.items():
        names = {cell_text(value) for value in _several(wanted)}
        there = runs[column].unique() if column in runs else []
        chosen = {value: cell_text(value) for value in there if cell_text(value) in names}
        if set(chosen.values()) != names:
            return None
        runs = runs[runs[column].isin(chosen)]
    each = runs[runs["value"].notna()].groupby(["base", "seed"])
    cells, size = math.prod(len(_several(wanted)) for wanted in given.values()), each.size()
    require(size.max() <= cells or size.empty, f"one row a run and cell of the claim {claim.id}",
            f"{size.max()} of {cells}", f"name in it what tells rows of {claim.exhibit} apart")
    table = each.agg({"value": "mean", "se": "mean", "df": "mean", "n": "sum", "least": "min",
                      "most": "max"})[size == cells]
    # Errors count as if cells shared no item; degrees of freedom stay those of one cell.
    table = table.assign(se=table["se"] / cells**0.5, arm=name, metric="claim", condition="")
    return table.reset_index()[RUN_COLUMNS] if len(table) else None


def _mean(claim: Claim, pair: pd.DataFrame) -> tuple[Estimate, float]:
    """Mean over bases; two-sided p-value of the threshold, of the nearer one if there are two.

    By t alone: the floor of a sign test, .125 with four bases, would leave all claims open.
    """
    if claim.ratio:
        pair = _ratios(pair)
    against = "against" if claim.against and not claim.ratio else None
    found = contrast(pair, "claim", "claimed", against)
    nulls = {claim.threshold, -claim.threshold if claim.direction == "within" else claim.threshold}
    return found, max(Estimate.pvalue(found, null) for null in nulls)


def _ratios(pair: pd.DataFrame) -> pd.DataFrame:
    """Each run's value over that of ``against``: its run of the same seed, or its base's mean."""
    after, before = (pair[pair["arm"] == name] for name in ("claimed", "against"))
    mean = after["base"].map(before.groupby("base")["value"].mean())
    same = after[["base", "seed"]].merge(before, "left", ["base", "seed"])["value"]
    below = same.set_axis(after.index).fillna(mean)
    return after.assign(value=after["value"] / below, se=np.nan, df=np.nan, least=-np.inf,
                        most=np.inf)


def _broken(claim: Claim, pair: pd.DataFrame) -> tuple[Estimate, float]:
    """Share of runs below half of their base, Wilson over bases; exact p-value, likewise.

    Two runs of one base are anything but independent: a base with one of two broken counts half,
    and the binomial tail is the incomplete beta function, which knows halves.
    """
    share = over_bases(broken(pair, "claim", "against")).iloc[0]
    n, k = int(share["bases"]), share["value"] * share["bases"]
    at_most = stats.beta.sf(claim.threshold, k + 1, n - k) if k < n else 1.0
    at_least = stats.beta.cdf(claim.threshold, k, n - k + 1) if k > 0 else 1.0
    found = Estimate("broken_share", share["value"], np.nan, share["low"], share["high"],
                     int(share["n"]), n, "Wilson over bases")
    return found, float(min(1.0, 2 * min(at_most, at_least)))


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
