"""A folder that leaves the project: ``datasets`` folder, JSONL and data card; whole or not at all.

``datasets.load_from_disk(folder)`` reads the splits from ``train/``, ``validation/`` and ``test/``;
``jsonl/<split>.jsonl`` holds the same rows as JSON lines, null where a value does not apply.

The data card of an exported instruction set: README.md with the header that hubs read.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lib.errors import InvalidValueError
from lib.forecasting.instructions.rows import (
    COLUMNS,
    PARAMETERS,
    PROCESSES,
    features,
    instruction_sets,
)
from lib.forecasting.instructions.styles import read_styles
from lib.study.disk import storage_errors
from lib.study.progress import say
from lib.study.text import table

if TYPE_CHECKING:
    import pandas as pd

    from lib.study.profiles import Profile



def export(
    profile: "Profile", out: Path, seed: int | None = None, label: str = "full_information"
) -> Path:
    """Write the instruction sets of a profile into a new folder; returns it.

    Everything is written beside the folder and moved there by one rename, so that a run that
    fails or is stopped leaves nothing behind. The JSONL files and the card are byte-identical for
    equal profile settings, seed and label.

    Parameters
    ----------
    out : Path
        A folder that does not exist yet, or is empty.
    seed, label :
        As in `lib.forecasting.instructions.rows.instruction_sets`.

    Raises
    ------
    InvalidValueError
        `out` is a file or holds files.
    StorageError
        The disk is full or may not be written.
    """
    out, seed = Path(out).resolve(), profile.seed if seed is None else seed
    _require_new(out)
    sets = instruction_sets(profile, seed, label)
    with storage_errors(out), _draft(out) as draft:
        records = {split: _records(frame) for split, frame in sets.items()}
        for split, rows in records.items():
            _write(draft / "jsonl" / f"{split}.jsonl", "".join(map(_line, rows)))
        say("saving the datasets folder")
        _save(records, draft)
        _write(draft / "README.md", card(sets, profile, seed, label))
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

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"),
         (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
ANSWERS = {
    "full_information": "the conditional expectation of someone who knows the process and its "
                        "parameters, given the numbers shown",
    "bayes": "the posterior mean of someone who knows the kind of process, its mean and its sigma, "
             "but not its other parameters, given the numbers shown",
    "least_squares": "the forecast of a regression of x(t+h) on a constant and x(t), run on the "
                     "numbers shown and nothing else",
}

TEXT = """
# Instruction sets of rational forecasts

Questions about time series with the answer of a rational forecaster, for supervised fine-tuning
and for tests of chat models that extrapolate too much. {rows} rows in English, all simulated: no
person, firm or market stands behind a number.

## Use
```python
import datasets

sets = datasets.load_from_disk("FOLDER")      # this folder; no other package is needed
sets["train"][0]["messages"]                  # role and content, as chat templates take them
float(sets["train"][0]["answer"])             # every answer is a number and nothing else
```
`jsonl/train.jsonl`, `jsonl/validation.jsonl` and `jsonl/test.jsonl` hold the same rows, one JSON
object a line. Rows are shuffled. Train on the last message alone.

## How it was made
Made by the study workbook "Side Effects" with
`python -m tools.instructions --profile {profile} --seed {seed} --label {label} --out FOLDER`
and {series} series a parameter, {rounds} windows a series, {history} values shown. Same settings,
seed and label: same bytes of JSONL.

Series are drawn around `mu` with innovations of standard deviation `sigma`, rounded to the format
of their style; one that leaves the style's range is drawn anew. Every window is asked about one
and two periods ahead. The design follows the laboratory task of Afrouzi, Kwon, Landier, Ma and
Thesmar (2023, doi:10.1093/qje/qjad009), with words, units and sizes of our own.

**Answers** (`label_type` = `{label}`) are
{answers},
rounded to the decimals of the style. All three forecasts stand unrounded in every row, so that
other answers can be made of them:

- `forecast`, full information:
  {full_information}.
- `forecast_bayes`:
  {bayes}.
  Prior weights are equal over rho = 0, 0.1, .., 1 for an AR(1), over a grid of the stationary
  triangle for an AR(2), over theta = -0.9, -0.8, .., 0.9 for an MA(1), and over 25 pairs of level
  and noise for a local level.
- `forecast_least_squares`:
  {least_squares}.

All three are computed from the numbers in `history`. The error-on-revision regression takes the
forecast of horizon 1 at `t` and that of horizon 2 at `t` - 1 of the same `series`: both are about
the same period.

## Splits
{splits}

- **By parameter**: no parameters of a process occur in two splits.
- **By time**: all test windows and their outcomes lie in later periods than all validation ones,
  and these later than all training ones; every series starts in period 0, and only the stretch of
  its split is shown.
- **By series**: every series belongs to one split, so no value of one is in two.
- **By wording**: styles with `held_out` are in the test split only.

## Styles
{styles}

## Columns
{columns}

## Limitations
- A full-information label **knows rho** (or the other parameters) and `mu`, which the prompt does
  not tell: from {history} numbers nobody can reach it exactly. A model trained on it learns to
  forecast under the parameters of the training split as its prior. Compare it with
  `forecast_bayes`, parameter by parameter, before calling what is left a bias.
- `forecast_bayes` still knows the kind of process, `mu` and `sigma`: a bound, not a target that is
  within reach of someone who sees the numbers alone.
- Least-squares forecasts from {history} numbers are noisy.
- Drawing anew truncates the process; rounding is ignored by the labels' theory, though they use
  the rounded numbers. The density of the first number shown is not used by `forecast_bayes`.
- Gaussian innovations, English only, few wordings: success here says nothing yet about real series.

## Licence
MIT. Texts and numbers were made for this workbook; nothing was copied from a data set.
"""


def card(sets: Mapping[str, "pd.DataFrame"], profile: "Profile", seed: int, label: str) -> str:
    """The card of `sets`: YAML header, then what, how, columns, splits with counts, limits."""
    given, total = profile.forecasting, sum(map(len, sets.values()))
    body = TEXT.format(
        rows=f"{total:,}", profile=profile.name, seed=seed, label=label, series=given.series,
        rounds=given.rounds, history=given.history, answers=ANSWERS[label], **ANSWERS,
        splits=_splits(sets), styles=_styles(), columns=_columns(),
    )
    header = yaml.safe_dump(_header(total), sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n{body}"


def _header(total: int) -> dict[str, object]:
    size = next((name for bound, name in SIZES if total < bound), "n>10M")
    files = [{"split": split, "path": f"jsonl/{split}.jsonl"}
             for split in ("train", "validation", "test")]
    return {
        "license": "mit", "language": ["en"], "pretty_name": "Rational forecasts as instructions",
        "task_categories": ["text-generation", "time-series-forecasting"],
        "tags": ["synthetic", "instruction-tuning", "rational-expectations", "over-reaction"],
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": files}],
    }


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
