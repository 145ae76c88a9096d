"""A budget of side effects: what may be lost, on which metric, and whether it was.

Every line is decided by `lib.statistics.noninferiority` on paired items.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pandas as pd
from pydantic import Field, ValidationError, model_validator

from lib.errors import InvalidValueError, UnknownNameError, nearest, require
from lib.measures.quantities import QUANTITIES, Frames, changes, harm_of, level
from lib.statistics.noninferiority import CERTAIN, Judge, decided, items_needed
from lib.study import paths
from lib.study.settings import Settings
from lib.study.text import read_yaml

FILE = "budget.yml"
SURE = 3.0
"""Standard errors by which an audited judge must be better than a coin."""


class Audit(Settings):
    """How often the judge of a line was right on answers whose verdict is known."""

    caught: int = Field(ge=0, description="of those that count, so many were found")
    of_positive: int = Field(ge=1, description="answers that count, audited")
    cleared: int = Field(ge=0, description="of the others, so many were cleared")
    of_negative: int = Field(ge=1, description="other answers, audited")

    @model_validator(mode="after")
    def _can_judge(self) -> Self:
        if self.caught > self.of_positive or self.cleared > self.of_negative:
            raise ValueError("an audit cannot find more than there were")
        better, variance = Judge(**self.model_dump()).youden()
        if better <= SURE * variance**0.5:
            raise ValueError("a judge that is hardly better than a coin, or audited on few "
                             "answers, decides nothing")
        return self


class Line(Settings):
    """One line of a budget."""

    metric: str = Field(description="a name of QUANTITIES")
    allowed: float = Field(gt=0, lt=10, description="most harm that passes, in the metric's unit")
    why: str = Field(min_length=10, description="the reason, in a sentence")
    judge: Audit | None = Field(None, description="audit of who judges; of shares only")

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if self.metric not in QUANTITIES:
            raise ValueError(f"unknown metric; {nearest(self.metric, list(QUANTITIES))}")
        if self.allowed >= QUANTITIES[self.metric].most:
            raise ValueError(f"of {self.metric} less than everything can be allowed: below 1")
        if self.judge and not QUANTITIES[self.metric].counted:
            raise ValueError("an audit belongs to a share that a judge counts")
        return self

    def audited(self) -> Judge:
        """Who judges, as the statistics take it."""
        return Judge(**self.judge.model_dump()) if self.judge else CERTAIN


class Budget(Settings):
    """What a release may cost."""

    alpha: float = Field(gt=0, le=0.2, description="chance of a wrong pass, and of a wrong fail")
    power: float = Field(ge=0.5, lt=1, description="chance to decide, for which items are told")
    lines: list[Line] = Field(min_length=1, description="each decided; all must pass")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [line.metric for line in self.lines]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"a metric has one line, but {', '.join(twice)} has more")
        return self

    def about(self, axes: Sequence[str]) -> "Budget":
        """The lines about some axes."""
        kept = [line for line in self.lines if QUANTITIES[line.metric].axis in axes]
        require(kept, f"lines about {', '.join(axes)}", "none in the budget", "name other axes, or "
                "add lines", UnknownNameError)
        return self.model_copy(update={"lines": kept})

    def axes(self) -> list[str]:
        """Axes that the lines are about, in their order."""
        return list(dict.fromkeys(QUANTITIES[line.metric].axis for line in self.lines))


def load_budget(path: Path | None = None) -> Budget:
    """A budget's file, checked; the default one without a path.

    Parameters
    ----------
    path : Path, optional

    Raises
    ------
    InvalidValueError
        Unknown keys or metrics, values out of range, or a line given twice.
    """
    path = path or paths.DATA / FILE
    try:
        return Budget.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidValueError(f"a budget in {path.name}", f"{where or 'the file'}: "
                                f"{first['msg'].removeprefix('Value error, ')}",
                                "mend it; data/budget.yml is a model to follow") from None


def decide(budget: Budget, base: Frames, tuned: Sequence[Frames]) -> pd.DataFrame:
    """Every line of a budget, decided.

    Parameters
    ----------
    budget : Budget
    base : mapping
        Axis to item frame of the base.
    tuned : sequence of mapping
        The same of each training seed of one recipe.

    Returns
    -------
    DataFrame
        A row a line: line (its metric), axis, says, before and after (the models' own values),
        value (the harm), low and high (one-sided limits at alpha), allowed, p_within, p_beyond,
        p_beyond_holm, n, clusters, seeds, verdict, and needed: items that would decide it with
        the budget's power.
    """
    harms, levels = {}, []
    for line in budget.lines:
        quantity = QUANTITIES[line.metric]
        items = changes(quantity, base, tuned)
        harm = harm_of(quantity, items, line.audited())
        harms[line.metric] = harm, quantity.allowed(line.allowed)
        levels.append([level(quantity, items, items[name]) for name in (
            quantity.column, *(f"tuned_{i}" for i in range(len(tuned))))])
    table = decided(harms, budget.alpha)
    table["needed"] = [items_needed(*harms[name], budget.alpha, budget.power, len(table))
                       for name in table["line"]]
    return _in_units(table, levels)


def _in_units(table: pd.DataFrame, levels: Sequence[Sequence[float]]) -> pd.DataFrame:
    """Harms and limits in the units of a budget; what a line is about, before and after."""
    about = [QUANTITIES[name] for name in table["line"]]
    told = table.assign(
        axis=[quantity.axis for quantity in about], says=[quantity.says for quantity in about],
        before=[before for before, *_ in levels],
        after=[sum(after) / len(after) for _, *after in levels])
    for column in ("value", "low", "high", "allowed"):
        told[column] = [quantity.shown(value)
                        for quantity, value in zip(about, table[column], strict=True)]
    return told
