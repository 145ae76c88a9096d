"""``gate.json``: what the gate decided, and all that it rests on, for programs; nothing of items.

Numbers are finite or null, names are those of folders or hubs, and no request or answer is part of
it. `Record.model_json_schema` describes every field; it is written beside the record.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from lib.measures.budget import Audit
from lib.statistics.noninferiority import FAIL, OPEN, PASS
from lib.study import machine, paths
from tools.gate.result import SCHEMA, Result

Verdict = Literal["pass", "fail", "not enough evidence"]
EXITS: dict[str, int] = {PASS: 0, FAIL: 1, OPEN: 2}


def exit_code(verdict: str) -> int:
    """0 pass, 1 fail, 2 not enough evidence; 3 is left to errors."""
    return EXITS[verdict]


class Part(BaseModel):
    """Base of all parts: no unknown keys, no number that JSON cannot hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Model(Part):
    """A model that was measured."""

    name: str = Field(description="of its folder, or hub id; never a path")
    sha256: str = Field(description="of its weights")
    start_token: str = Field(description="what stands before running text")
    chat_format: str = Field(description="how a chat is written for it")


class Weights(Part):
    """How far a tuned model's weights are from the base's."""

    name: str
    rank: int | None = Field(description="of a LoRA adapter; null: a whole model")
    share_trained: float | None = Field(description="an adapter's parameters over the base's")
    share_changed: float | None = Field(description="of the base's parameters, adapters merged")
    drift: float | None = Field(description="|W - W0| / |W0| over all weights")


class Line(Part):
    """A line of the budget, decided on paired items."""

    metric: str
    axis: str
    says: str = Field(description="the metric in words")
    why: str = Field(description="the budget's reason for the line")
    before: float | None = Field(description="the base's own value")
    after: float | None = Field(description="the tuned models' mean value")
    harm: float | None = Field(description="change for the worse, in the metric's unit; perplexity "
                                           "as a share of the base's")
    low: float | None = Field(description="least harm not rejected, one-sided at alpha")
    high: float | None = Field(description="greatest harm not rejected, one-sided at alpha")
    allowed: float = Field(description="most harm that passes")
    p_within: float | None = Field(description="of 'at least as much as allowed'; small: passes")
    p_beyond: float | None = Field(description="of 'at most as much as allowed'; small: fails")
    p_beyond_holm: float | None = Field(description="adjusted for all lines (Holm)")
    n: int = Field(description="items")
    clusters: int = Field(description="groups of items that resemble each other")
    seeds: int = Field(description="tuned models, as training seeds of one recipe")
    verdict: Verdict
    needed: int | None = Field(description="items that would decide the line with the budget's "
                                           "power if harm and seeds vary as seen; a fail adjusted "
                                           "for all lines; null: no number would")
    judge: Audit | None = Field(description="audit of who judged the items, if one was given")


class Rates(Part):
    """How often a line is decided wrongly where the harm is just what is allowed (notebook 08)."""

    line: str
    wrong_pass: float = Field(description="share of samples, mean over base models")
    wrong_pass_low: float = Field(description="95 % limit, as the next")
    wrong_pass_high: float
    wrong_fail: float
    wrong_fail_low: float
    wrong_fail_high: float


class Record(Part):
    """A decision of ``side-effects gate``."""

    schema_version: Literal["side-effects/gate/1"]
    verdict: Verdict
    exit_code: Literal[0, 1, 2]
    alpha: float = Field(description="chance of a wrong pass, and of a wrong fail, at most")
    power: float = Field(description="chance to decide a line, for which `needed` is told")
    world: str = Field(description="whose words were asked")
    quick: bool = Field(description="whether fewer items than usual were asked")
    asked: dict[str, str] = Field(description="options of the call: axes, budget, dtype, requests")
    base: Model
    tuned: list[Model] = Field(min_length=1, description="training seeds of one recipe")
    lines: list[Line] = Field(min_length=1)
    missing: dict[str, str] = Field(description="axis that gave nothing, and why")
    weights: list[Weights]
    notes: list[str] = Field(description="what a reader has to know")
    calibration: list[Rates] = Field(description="measured error rates of the gate's lines")
    versions: dict[str, str | None]
    hardware: dict[str, Any]
    commit: str | None = Field(description="of the workbook; null outside git")
    seconds: float


def record(result: Result) -> Record:
    """All of a result but its items, checked."""
    commit = machine.commit()
    return Record(
        schema_version=SCHEMA, verdict=result.verdict, exit_code=exit_code(result.verdict),
        alpha=result.budget.alpha, power=result.budget.power,
        world=result.world, quick=result.quick, asked=result.asked,
        base=_model(result.base), tuned=[_model(subject) for subject in result.tuned],
        lines=list(_lines(result)), missing=dict(sorted(result.missing.items())),
        weights=[Weights(**row) for row in _rows(result.weights, Weights)],
        notes=result.notes, calibration=calibration(),
        versions=machine.versions(), hardware=machine.hardware(),
        commit=commit and commit["hash"], seconds=round(result.seconds, 1),
    )


def calibration(path: Path = paths.FIGURES / "tables" / "08_errors.csv") -> list[Rates]:
    """Error rates out of the committed book; none where it is not there."""
    if not path.is_file():
        return []
    table = pd.read_csv(path).pivot(index="arm", columns="metric", values=["value", "low", "high"])
    return [Rates(line=name, **{f"{metric}{end}": float(row[column, metric])
                                for metric in ("wrong_pass", "wrong_fail")
                                for column, end in (("value", ""), ("low", "_low"),
                                                    ("high", "_high"))})
            for name, row in table.iterrows()]


def _model(subject: Any) -> Model:
    told = asdict(subject)
    return Model(name=told["name"], sha256=told["sha256"], start_token=told["start"],
                 chat_format=told["format"])


def _lines(result: Result) -> Iterable[Line]:
    """The table's rows, with what the budget says of each."""
    asked = {line.metric: line for line in result.budget.lines}
    table = result.lines.rename(columns={"line": "metric", "value": "harm"})
    for row in _rows(table, Line):
        line = asked[row["metric"]]
        yield Line(**row, why=line.why, judge=line.judge)


def _rows(table: pd.DataFrame, part: type[Part]) -> list[dict[str, Any]]:
    """A table's rows with the columns that a part has; what is not finite as None."""
    own = [name for name in part.model_fields if name in table]
    return [{name: finite(value) for name, value in row.items()}
            for row in table[own].to_dict("records")]


def finite(value: Any) -> Any:
    """None for a number that JSON cannot hold."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
