"""Public benchmarks of a model, and what fine-tuning changed: ``side-effects bench``."""

import sys
from collections.abc import Sequence
from pathlib import Path

from lib.errors import StudyError


def bench(
    base: Path, tuned: Sequence[Path], names: Sequence[str], out: Path, most: int | None = None
) -> int:
    """Print a table, write it to ``out/benchmarks.csv``; returns the exit code.

    Parameters
    ----------
    base, tuned : path, sequence of paths
        Model folders; changes are paired with the first.
    names : sequence of str
        Benchmarks; none for all.
    out : path
        A folder, made where there is none.
    most : int, optional
        At most so many items of each benchmark, for a quick look.
    """
    try:
        from lib.measures.benchmarks.report import BENCHMARKS, benchmark_report
        from lib.study.disk import write_text

        table = benchmark_report(base, tuned, list(names) or list(BENCHMARKS), most)
        shown = table.drop(columns=["se", "clusters", "method"])
        print(shown.round(3).to_string(index=False))
        write_text(out / "benchmarks.csv", table.to_csv(index=False, lineterminator="\n"))
    except StudyError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    print(out / "benchmarks.csv")
    return 0
