"""Refusals of real chat models, before and after fine-tuning: ``side-effects ask BASE TUNED``.

Nothing slow is imported before the work begins, so that a command line can say what it takes.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lib.errors import StorageError, StudyError
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
) -> int:
    """Ask chat models, print and write tables; no request and no answer is printed or written.

    Parameters
    ----------
    base : path
        Folder of safetensors with a tokenizer, or an adapter's; others are compared with it.
    tuned : sequence of path
        Likewise; an adapter whose base is on no folder of this machine is put on ``base``.
    set : str
        ``xstest``, or a gated set in the folder that ``DEBIAS_GATED`` names.
    out : path, optional
        Where to write; default ``chat/NAME`` of the set among the runs.
    most, tokens : int
        At most so many requests a category (default all), and tokens an answer.
    judge : path, optional
        Chat model that reads the answers; default ``base``.
    dtype : {"float32", "bfloat16", "float16"}

    Returns
    -------
    int
        Exit code: 0 written, 2 wrong input or a disk that refuses, 130 stopped by Ctrl-C.
    """
    started, out = time.monotonic(), out or runs_dir() / "chat" / set
    machine.keep_to_quota()
    try:
        from lib.measures.chat.report import Run, compared, write  # imports torch: slow

        run = Run([base, *tuned], set, judge or base, tokens, most, dtype)
        _claim(out)
        result = compared(run)
        print(result.text())
        write(result, run, out, time.monotonic() - started)
    except StudyError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    print(out)
    return 0


def _claim(out: Path) -> None:
    """Refuse at once where nothing can be written, not after the work."""
    probe, new = out / ".writable", not out.exists()
    try:
        write_bytes(probe, b"")
    except (FileExistsError, NotADirectoryError) as error:
        raise StorageError(f"a folder to write to, {out}", "a file in its way",
                           "name another folder") from error
    probe.unlink()
    if new:
        out.rmdir()
