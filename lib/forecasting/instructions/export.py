"""A folder that leaves the project: ``datasets`` folder, JSONL and data card; whole or not at all.

``datasets.load_from_disk(folder)`` reads the splits; ``jsonl/<split>.jsonl`` holds the same rows,
null where a value does not apply; ``README.md`` is the data card, with the header that hubs read.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.errors import InvalidValueError
from lib.forecasting.instructions.rows import COLUMNS, PARAMETERS, PROCESSES, instruction_sets
from lib.forecasting.instructions.styles import read_styles
from lib.study.disk import storage_errors
from lib.study.paths import DATA
from lib.study.progress import say
from lib.study.text import table

if TYPE_CHECKING:
    import datasets
    import pandas as pd

    from lib.study.profiles import Profile

SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
ANSWERS = {
    "full_information": "the conditional expectation of someone who knows the process and its "
                        "parameters, given the numbers shown",
    "bayes": "the posterior mean of someone who knows the kind of process, its mean and its sigma, "
             "but not its other parameters, given the numbers shown",
    "least_squares": "the forecast of a regression of x(t+h) on a constant and x(t), run on the "
                     "numbers shown and nothing else",
}


def export(profile: "Profile", out: Path, label: str = "full_information") -> Path:
    """Write the instruction sets of a profile into a new folder; returns it.

    All is written beside the folder and moved there by one rename. The JSONL files and the card
    are byte-identical for equal profile settings, seed and label.

    Parameters
    ----------
    out : Path
        A folder that does not exist yet, or is empty.
    label : {"full_information", "bayes", "least_squares"}
        Whose forecast is the answer.

    Raises
    ------
    InvalidValueError
        `out` is a file or holds files; series too short for a learner, or too long for a style.
    UnknownNameError
        Another label.
    StorageError
        The disk is full or may not be written.
    """
    out = Path(out).resolve()
    _require_new(out)
    sets = instruction_sets(profile, label)
    with storage_errors(out), _draft(out) as draft:
        records = {split: _records(frame) for split, frame in sets.items()}
        for split, rows in records.items():
            _write(draft / "jsonl" / f"{split}.jsonl", "".join(map(_line, rows)))
        say("saving the datasets folder")
        _save(records, draft)
        _write(draft / "README.md", card(sets, profile, label))
    return out


def _require_new(out: Path) -> None:
    there = next(place for place in (out, *out.parents) if place.exists())
    if not there.is_dir():
        found = f"a file at {there}"
    elif there == out and (held := sum(1 for _ in out.iterdir())):
        found = f"{held} files or folders in it"
    else:
        return
    raise InvalidValueError(
        f"{out} to be a new or an empty folder", found,
        "give another --out, or move away what is there",
    )


@contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` that takes its place when all went well."""
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}.tmp-", dir=out.parent))
    try:
        draft.chmod(0o755)  # mkdtemp is private to its user
        yield draft
        if out.exists():
            out.rmdir()  # empty; where it has been filled meanwhile, this refuses
        os.replace(draft, out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as plain Python values; a missing number is None, since JSON has no NaN."""
    return [{name: None if value != value else value for name, value in row.items()}
            for row in frame.to_dict("records")]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"


def _save(records: Mapping[str, list[dict[str, Any]]], folder: Path) -> None:
    import datasets  # slow to import

    types = features()
    splits = {split: datasets.Dataset.from_list(rows, features=types, split=split)
              for split, rows in records.items()}
    hidden = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()  # progress has a channel of its own
    try:
        datasets.DatasetDict(splits).save_to_disk(folder)
    finally:
        if not hidden:
            datasets.enable_progress_bars()


def features() -> "datasets.Features":
    """The columns as types of Hugging Face ``datasets``."""
    from datasets import Features, List, Value  # slow to import

    text, number = Value("string"), Value("float64")
    kinds = {
        "text": text, "number": number, "count": Value("int64"), "flag": Value("bool"),
        "numbers": List(number), "chat": List({"role": text, "content": text}),
    }
    return Features({name: kinds[kind] for name, (kind, _) in COLUMNS.items()})


def card(sets: Mapping[str, "pd.DataFrame"], profile: "Profile", label: str) -> str:
    """The card of `sets`: ``data/instructions_card.md`` with counts, settings and tables."""
    given, total = profile.forecasting, sum(map(len, sets.values()))
    template = (DATA / "instructions_card.md").read_text(encoding="utf-8")
    return template.format(
        size=next((name for bound, name in SIZES.items() if total < bound), "1M<n<10M"),
        rows=f"{total:,}", profile=profile.name, seed=profile.seed, label=label,
        series=given.series, rounds=given.rounds, history=given.history,
        answers=ANSWERS[label], **ANSWERS,
        splits=_splits(sets), styles=_styles(), columns=_columns(),
    )


def _splits(sets: Mapping[str, "pd.DataFrame"]) -> str:
    rows = []
    for split, frame in sets.items():
        times = f"{frame['t'].min()} to {frame['t'].max()}"
        for process in PROCESSES:
            part = frame[frame["process"] == process]
            rows.append([split, f"`{process}`", _parameters(part), *_counts(part), times])
        rows.append([f"**{split}**", "**all**", "", *(f"**{n}**" for n in _counts(frame)), times])
    return table(["split", "process", "parameters", "rows", "series", "styles", "t"], rows)


def _counts(part: "pd.DataFrame") -> list[str]:
    return [f"{n:,}" for n in (len(part), part["series"].nunique(), part["style"].nunique())]


def _parameters(part: "pd.DataFrame") -> str:
    used = [name for name in PARAMETERS if part[name].notna().any()]
    values = part[used].drop_duplicates().sort_values(used)
    each = (", ".join(f"{name} = {row[name]:g}" for name in used) for _, row in values.iterrows())
    return "; ".join(f"`{text}`" for text in each)


def _styles() -> str:
    return table(
        ["style", "group", "unit", "decimals", "splits"],
        [[f"`{s.name}`", s.group, s.unit, str(s.decimals),
          "test" if s.held_out else "all"] for s in read_styles()],
    )


def _columns() -> str:
    types = {"chat": "list of {role, content}", "text": "string", "number": "float",
             "count": "integer", "flag": "boolean", "numbers": "list of float"}
    return table(["column", "type", "meaning"],
                 [[f"`{name}`", types[kind], meaning]
                  for name, (kind, meaning) in COLUMNS.items()])
