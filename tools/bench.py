"""Public benchmarks of a model, and what fine-tuning changed: ``side-effects bench``."""

from collections.abc import Sequence
from pathlib import Path

from lib.measures.benchmarks.report import BENCHMARKS, benchmark_report
from lib.study.disk import write_text


def bench(
    base: Path, tuned: Sequence[Path], names: Sequence[str], out: Path, most: int | None = None
) -> None:
    """Print a table of some benchmarks, or all public ones; write it to ``out/benchmarks.csv``."""
    public = [name for name, benchmark in BENCHMARKS.items() if not benchmark.gated]
    table = benchmark_report(base, tuned, list(names) or public, most)
    print(table.round(3).to_string(index=False))
    write_text(out / "benchmarks.csv", table.to_csv(index=False, lineterminator="\n"))
    print(out / "benchmarks.csv")
