"""``side-effects ask``: refusals of real chat models, before and after fine-tuning."""

import time
from collections.abc import Sequence
from pathlib import Path

from lib.measures.chat.report import Run, compared, write
from lib.study.paths import runs_dir


def ask(
    models: Sequence[Path], benchmark: str, judge: Path | None, tokens: int, most: int | None,
    dtype: str, out: Path | None,
) -> None:
    """Ask the models a set of requests, print the comparison and write it into a folder."""
    out, started = out or runs_dir() / "chat" / benchmark, time.monotonic()
    run = Run(list(models), benchmark, judge or models[0], tokens, most, dtype)
    result = compared(run)
    print(result.text())
    write(result, run, out, time.monotonic() - started)
    print(out)
