"""A folder that leaves the project: ``datasets`` folder, JSONL and data card; whole or not at all.

``datasets.load_from_disk(folder)`` reads the splits from ``train/``, ``validation/`` and ``test/``;
``jsonl/<split>.jsonl`` holds the same rows as JSON lines, null where a value does not apply.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.disk import storage_errors
from lib.errors import InvalidValueError
from lib.instructions.card import card
from lib.instructions.columns import features
from lib.instructions.rows import instruction_sets
from lib.progress import say

if TYPE_CHECKING:
    import pandas as pd

    from lib.profiles import Profile


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
        As in `lib.instructions.rows.instruction_sets`.

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
