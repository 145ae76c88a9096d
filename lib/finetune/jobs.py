"""Several fine-tuning jobs side by side, one single-threaded process each.

On the study's small models two single-thread processes beat one with two threads. Processes are
spawned, not forked: a fork copies the locks of a notebook kernel's threads.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lib.finetune.recipe import Example, Recipe, check_examples
from lib.finetune.regularizer import Regularizer
from lib.finetune.training import finetune


@dataclass(frozen=True)
class Job:
    """The arguments of one `finetune` call."""

    base: Path
    examples: Sequence[Example]
    recipe: Recipe
    out: Path
    label: str = "finetune"
    regularizer: Regularizer | None = None

    def run(self) -> dict[str, float]:
        """Train in this process."""
        return finetune(
            self.base, self.examples, self.recipe, self.out, self.label, self.regularizer
        )


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
    # The pool ends first, which cancels what waits, so that no thread waits for ever.
    with ThreadPoolExecutor(len(jobs)) as threads, worker_pool(min(workers, len(jobs))) as run:
        return list(threads.map(run, jobs))


@contextmanager
def worker_pool(workers: int) -> Iterator[Callable[[Job], dict[str, float]]]:
    """A function that runs a job and returns its figures; call it from several threads.

    With one worker jobs run in this process, one after the other. Otherwise processes start with
    the first call, and jobs wait for a free one; an error of a job is raised by its call, and
    when the context ends by an error, waiting jobs are not started.
    """
    if workers <= 1:
        turn = threading.Lock()

        def run(job: Job) -> dict[str, float]:
            with turn:
                return job.run()

        yield run
        return
    with _single_threaded_children():
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
        try:
            yield lambda job: pool.submit(job.run).result()
        finally:
            pool.shutdown(cancel_futures=True)


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
