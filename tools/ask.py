"""Refusals of real chat models, before and after fine-tuning: ``side-effects ask BASE TUNED``."""

import time
from collections.abc import Sequence
from pathlib import Path

from lib.errors import StorageError
from lib.study import machine
from lib.study.disk import write_bytes
from lib.study.paths import runs_dir

TOKENS = 64
"""Longest answer, unless another is asked for."""


def ask(
    base: Path,
    tuned: Sequence[Path] = (),
    *,
    set: str = "xstest",  # noqa: A002, the name that the command line shows
    out: Path | None = None,
    most: int | None = None,
    tokens: int = TOKENS,
    judge: Path | None = None,
    dtype: str = "float32",
) -> None:
    """Ask chat models, print and write tables; no request and no answer is printed or written.

    ``side-effects ask --help`` says what the arguments are; ``out`` is by default ``chat/<set>``
    among the runs.
    """
    started, out = time.monotonic(), out or runs_dir() / "chat" / set
    claim(out)
    machine.keep_to_quota()
    from lib.measures.chat.report import Run, compared, write  # torch counts cores on import

    run = Run([base, *tuned], set, judge or base, tokens, most, dtype)
    result = compared(run)
    print(result.text())
    write(result, run, out, time.monotonic() - started)
    print(out)


def claim(out: Path) -> None:
    """Refuse at once where nothing can be written, not after the work."""
    probe, new = out / ".writable", not out.exists()
    try:
        write_bytes(probe, b"")
    except OSError as error:
        why = ("a file in its way" if isinstance(error, FileExistsError | NotADirectoryError)
               else str(error.strerror))
        raise StorageError(f"a folder to write to, {out}", why, "name another folder") from error
    probe.unlink()
    if new:
        out.rmdir()
