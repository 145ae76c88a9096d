"""Several fine-tuning jobs side by side, one single-threaded process each.

On the study's small models two single-thread processes beat one with two threads. Processes are
spawned, not forked: a fork copies the locks of a notebook kernel's threads.
"""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lib.errors import StudyError
from lib.finetune.recipe import Example, Recipe, check_examples
from lib.finetune.training import finetune


@dataclass(frozen=True)
class Job:
    """The arguments of one `finetune` call."""

    base: Path
    examples: Sequence[Example]
    recipe: Recipe
    out: Path
    label: str = "finetune"

    def run(self) -> dict[str, float]:
        """Train in this process."""
        return finetune(self.base, self.examples, self.recipe, self.out, self.label)


def finetune_many(jobs: Sequence[Job], workers: int) -> list[dict[str, float]]:
    """Run jobs, at most ``workers`` at a time.

    A job gives the same weights, to the last bit, alone or beside others.

    Parameters
    ----------
    workers : int
        1 runs in this process; more start as many, each of which takes some seconds to import
        torch.

    Returns
    -------
    list of dict
        Training figures in the order of the jobs.

    Raises
    ------
    As `finetune`; the first failure in job order, after which waiting jobs are not started.
    """
    for job in jobs:
        check_examples(job.examples)
    if min(workers, len(jobs)) <= 1:
        return [job.run() for job in jobs]
    with _single_threaded_children():
        pool = ProcessPoolExecutor(
            min(workers, len(jobs)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_end_with_parent,
        )
        try:
            futures = [pool.submit(_outcome, job) for job in jobs]
            return [_unwrap(future.result()) for future in futures]
        finally:
            pool.shutdown(cancel_futures=True)


def _outcome(job: Job) -> dict[str, float] | tuple[type[StudyError], tuple[str, str, str]]:
    """Figures, or the parts of a user's error: such an error cannot be rebuilt from its text."""
    try:
        return job.run()
    except StudyError as error:
        return type(error), (error.expected, error.found, error.fix)


def _unwrap(outcome: dict[str, float] | tuple) -> dict[str, float]:
    if isinstance(outcome, tuple):
        kind, parts = outcome
        raise kind(*parts)
    return outcome


def _end_with_parent() -> None:
    """Leave no orphans behind when the notebook's kernel is killed."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Have OpenMP in spawned processes start with one thread; it reads this once, on import."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
