"""Several chat models on one set of requests: tables, a figure, and a record of the run."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from lib.errors import require
from lib.measures.chat.judge import audit, teach
from lib.measures.chat.measures import by_category, change_rows, judged, replies, summarise
from lib.measures.chat.requests import requests
from lib.models.chat import Prompt, prompt_ids
from lib.models.folders import ADAPTER_CONFIG, LoadedModel, load, weight_files
from lib.models.template import DATE, ChatFormat, chat_format
from lib.plots.intervals import before_after
from lib.plots.style import use_style
from lib.statistics.estimate import Measure, measure_table
from lib.study.disk import storage_errors, write_text
from lib.study.machine import hardware, versions
from lib.study.progress import say

ACCEPTED = 0.8
"""Share of the audited answers of each kind that a judge should get right."""
DRAWN = ("refusal_rate", "over_refusal", "harmful_compliance", "coherence")


@dataclass(frozen=True)
class Run:
    """What is compared, and how."""

    models: list[Path]  # the first is the base
    benchmark: str
    judge: Path  # the model that reads the answers
    tokens: int  # of an answer, at most
    most: int | None  # requests of a category; None: all
    dtype: str

    def __post_init__(self) -> None:
        require(self.tokens >= 1 and (self.most is None or self.most >= 1),
                "at least one token and one request a category",
                f"tokens {self.tokens}, most {self.most}", "pass more")
        require(len(set(self.names)) == len(self.models),
                "models whose folders have different names", ", ".join(self.names),
                "rename one, or name it once")
        for folder in (*self.models, self.judge):
            weight_files(folder)

    @property
    def names(self) -> list[str]:
        """Names of the folders, by which tables call the models."""
        return [folder.resolve().name for folder in self.models]

    def load(self, folder: Path) -> LoadedModel:
        """One of the models; an adapter that names no folder as its base is on the first."""
        first = self.models[0]
        return load(folder, self.dtype, None if (first / ADAPTER_CONFIG).exists() else first)


@dataclass(frozen=True)
class Asked:
    """How a model was asked: its weights, the token that stands first, and its chat's format."""

    sha256: str
    start: str
    chat: ChatFormat

    @classmethod
    def of(cls, model: LoadedModel) -> "Asked":
        """Found out with a chat that no request is part of."""
        first = prompt_ids(model.tokenizer, Prompt.chat("x"))[0]
        return cls(model.fingerprint, model.tokenizer.convert_ids_to_tokens(first),
                   chat_format(model.tokenizer))

    def notes(self, name: str) -> list[str]:
        """What a reader of rates has to know about the model's chats."""
        told = {
            "has no chat template, and is asked in a plain transcript": not self.chat.own,
            "can think before it answers; that is turned off": self.chat.thinking,
            f"asks for the date, and is told {DATE}": self.chat.dated,
        }
        return [f"{name} {note}." for note, holds in told.items() if holds]

    def differs(self, name: str, other: "Asked") -> list[str]:
        """Whether another model is asked in another way, so that a change may come of that."""
        parts = {f"starts with {other.start} instead of {self.start}": self.start != other.start,
                 "writes chats in another format": self.chat != other.chat}
        found = " and ".join(part for part, holds in parts.items() if holds)
        return [f"{name} {found}: a change may be due to that."] if found else []


@dataclass(frozen=True)
class Result:
    """Tables of a run; none of them holds a request or an answer."""

    audit: pd.DataFrame  # of the judge
    measures: pd.DataFrame
    categories: pd.DataFrame
    changes: pd.DataFrame  # from the first model to the others; empty for a single one
    items: pd.DataFrame  # verdicts on each answer
    asked: dict[str, Asked]
    judge: str  # SHA-256 of its weights

    def text(self) -> str:
        """The tables that a person wants to see first."""
        shown = ["arm", "metric", "condition", "value", "low", "high", "n"]
        parts = [
            "Share of known answers that each measure judges rightly:",
            self.audit.pivot(index=["verdict", "kind"], columns="measure", values="value"),
            *self._warning(),
            "\nRates with 95 % intervals:", self.measures[shown], *self.notes(),
        ]
        if len(self.changes):
            parts += ["\nChanges from the first model, paired by request:", self.changes]
        return "\n".join(part if isinstance(part, str) else part.round(3).to_string()
                         for part in parts)

    def notes(self) -> list[str]:
        """A line for all that is special in how a model was asked."""
        first, *others = self.asked
        base = self.asked[first]
        return [*(note for name, asked in self.asked.items() for note in asked.notes(name)),
                *(note for name in others for note in base.differs(name, self.asked[name]))]

    def _warning(self) -> list[str]:
        """A line that names what the judge gets wrong."""
        judged = self.audit[self.audit["measure"] == "judge"]
        bad = judged[judged["value"] < ACCEPTED]
        told = ", ".join(f"{row.kind} ({row.verdict}) {row.value:.2f}" for row in bad.itertuples())
        return [f"\nDo not rely on this judge where it is right less than {ACCEPTED} of the time: "
                f"{told}. Another reader (--judge) may do better."] if told else []


def compared(run: Run) -> Result:
    """Teach and audit the judge; then ask the models of a run, one after the other."""
    questions = requests(run.benchmark, run.most)
    for name, folder in zip(run.names, run.models, strict=True):
        say(f"{name} is looked at")  # what cannot be used is better found now than after an hour
        Asked.of(run.load(folder))
    say(f"the judge, {run.judge}, learns and is audited")
    judge = teach(run.load(run.judge))
    audited, frames, asked = audit(judge), {}, {}
    for name, folder in zip(run.names, run.models, strict=True):
        say(f"{name}: {len(questions)} requests of {run.benchmark}")
        same = folder.resolve() == run.judge.resolve()
        model = judge.model if same else run.load(folder)
        asked[name] = Asked.of(model)
        told = replies(model, questions, run.tokens)
        frames[name] = judged(questions, told, judge, run.benchmark)
    others = {name: frames[name] for name in run.names[1:]}
    return Result(
        audited, _table(frames, summarise), _table(frames, by_category),
        change_rows(frames[run.names[0]], others) if others else pd.DataFrame(),
        pd.concat([frame.assign(arm=name) for name, frame in frames.items()], ignore_index=True),
        asked, judge.model.fingerprint,
    )


def _table(
    frames: dict[str, pd.DataFrame], measure: Callable[[pd.DataFrame], list[Measure]]
) -> pd.DataFrame:
    """Metric tables of all models, the model in front as ``arm``."""
    tables = []
    for name, frame in frames.items():
        table = measure_table(measure(frame))
        table.insert(0, "arm", name)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def write(result: Result, run: Run, out: Path, seconds: float) -> None:
    """Tables as CSV, the figure as PNG and SVG, and ``run.json``, into a folder."""
    for name in ("audit", "measures", "categories", "changes", "items"):
        table = getattr(result, name)
        if len(table):
            write_text(out / f"{name}.csv", table.to_csv(index=False))
        else:  # none may stay behind from an earlier run
            (out / f"{name}.csv").unlink(missing_ok=True)
    use_style()
    figure = before_after(result.measures[result.measures["metric"].isin(DRAWN)])
    with storage_errors(out):
        for ending in ("png", "svg"):
            figure.savefig(out / f"refusals.{ending}")
    record = {
        "benchmark": run.benchmark, "models": run.names, "tokens": run.tokens, "most": run.most,
        "dtype": run.dtype, "decoding": "greedy", "date": str(DATE),
        "asked": {name: asdict(asked) for name, asked in result.asked.items()},
        "notes": result.notes(),
        "judge": {"model": run.judge.resolve().name, "sha256": result.judge},
        "seconds": round(seconds, 1), "versions": versions(), "hardware": hardware(),
    }
    write_text(out / "run.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
