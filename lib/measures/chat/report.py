"""Several chat models on one set of requests: tables, a figure, and a record of the run."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lib.errors import InvalidValueError
from lib.measures.chat.judge import audit, teach
from lib.measures.chat.measures import by_category, change_rows, judged, replies, summarise
from lib.measures.chat.requests import requests
from lib.models.folders import chat_ids, load
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
    """What is compared.

    Attributes
    ----------
    models : list of path
        Model folders; the first is the base.
    benchmark : str
        ``xstest``, or a gated set.
    judge : path
        Model that reads the answers.
    tokens, most : int
        Longest answer; at most so many requests a category (None: all).
    dtype : str
        As for `lib.models.folders.load`.
    """

    models: list[Path]
    benchmark: str
    judge: Path
    tokens: int
    most: int | None
    dtype: str

    def __post_init__(self) -> None:
        if self.tokens < 1 or (self.most is not None and self.most < 1):
            raise InvalidValueError("at least one token and one request a category",
                                    f"tokens {self.tokens}, most {self.most}", "pass more")
        if len(set(self.names)) < len(self.models):
            raise InvalidValueError("models whose folders have different names",
                                    ", ".join(self.names), "rename one, or name it once")

    @property
    def names(self) -> list[str]:
        """Names of the folders, by which tables call the models."""
        return [folder.resolve().name for folder in self.models]


@dataclass(frozen=True)
class Result:
    """Tables of a run; none of them holds a request or an answer.

    Attributes
    ----------
    audit, measures, categories, changes, items : DataFrame
        Of the judge; of each model; of each model by category; from the first model to the
        others, empty for a single model; verdicts on each answer.
    fingerprints : dict
        Model to the SHA-256 of its weights.
    judge : str
        That of the judge's.
    """

    audit: pd.DataFrame
    measures: pd.DataFrame
    categories: pd.DataFrame
    changes: pd.DataFrame
    items: pd.DataFrame
    fingerprints: dict[str, str]
    judge: str

    def text(self) -> str:
        """The tables that a person wants to see first."""
        shown = ["arm", "metric", "condition", "value", "low", "high", "n"]
        parts = [
            "Share of known answers that each measure judges rightly:",
            self.audit.pivot(index=["verdict", "kind"], columns="measure", values="value"),
            *self._warning(),
            "\nRates with 95 % intervals:", self.measures[shown],
        ]
        if len(self.changes):
            parts += ["\nChanges from the first model, paired by request:", self.changes]
        return "\n".join(part if isinstance(part, str) else part.round(3).to_string()
                         for part in parts)

    def _warning(self) -> list[str]:
        """A line that names what the judge gets wrong."""
        judged = self.audit[self.audit["measure"] == "judge"]
        bad = judged[judged["value"] < ACCEPTED]
        told = ", ".join(f"{row.kind} ({row.verdict}) {row.value:.2f}" for row in bad.itertuples())
        return [f"\nDo not rely on this judge where it is right less than {ACCEPTED} of the time: "
                f"{told}. Another reader (--judge) may do better."] if told else []


def compared(run: Run) -> Result:
    """Teach and audit the judge; then ask the models of a run, one after the other.

    Raises
    ------
    InvalidValueError, UnsafeWeightsError, CorruptArtefactError
        A model that cannot be used, see `lib.models.folders`.
    DownloadError
        The requests are not on this machine.
    """
    asked = requests(run.benchmark, run.most)
    for folder in run.models:  # what cannot be used is better found now than after an hour
        chat_ids(load(folder, run.dtype).tokenizer, "")
    say(f"the judge, {run.judge}, learns and is audited")
    judge = teach(load(run.judge, run.dtype))
    audited, frames, fingerprints = audit(judge), {}, {}
    for name, folder in zip(run.names, run.models, strict=True):
        say(f"{name}: {len(asked)} requests of {run.benchmark}")
        same = folder.resolve() == run.judge.resolve()
        model = judge.model if same else load(folder, run.dtype)
        said, fingerprints[name] = replies(model, asked, run.tokens), model.fingerprint
        frames[name] = judged(asked, said, judge, run.benchmark)
    others = {name: frames[name] for name in run.names[1:]}
    return Result(
        audited, _table(frames, summarise), _table(frames, by_category),
        change_rows(frames[run.names[0]], others) if others else pd.DataFrame(),
        pd.concat([frame.assign(arm=name) for name, frame in frames.items()], ignore_index=True),
        fingerprints, judge.model.fingerprint,
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
    """Tables as CSV, the figure as PNG and SVG, and ``run.json``, into a folder.

    Raises
    ------
    StorageError
        The disk refuses.
    """
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
        "dtype": run.dtype, "decoding": "greedy", "sha256": result.fingerprints,
        "judge": {"model": run.judge.resolve().name, "sha256": result.judge},
        "seconds": round(seconds, 1), "versions": versions(), "hardware": hardware(),
    }
    write_text(out / "run.json", json.dumps(record, indent=2) + "\n")
