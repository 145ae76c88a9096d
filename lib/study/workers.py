"""Work side by side: single-threaded processes that stay for as long as this one.

Two beat one process with two threads on the study's small models. Importing torch and
transformers takes ten seconds, so workers start once, from a fork server where there is one.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from multiprocessing import forkserver
from typing import Any, TypeVar

import torch

from lib.errors import WorkerDiedError

PRELOADED = ["peft", "scipy.stats", "statsmodels.api", "lib.training.trainer"]
"""What takes long to import, for the fork server."""
INHERITED = ("STUDY_", "DEBIAS_")
"""Prefixes of the environment variables that a worker takes over anew with each call."""

T, R = TypeVar("T"), TypeVar("R")
Run = Callable[..., Any]
"""``run(function, *arguments)``: the function's result, computed where there is room."""
_starting = threading.Lock()


def side_by_side(work: Callable[[T, Run], R], items: Sequence[T], workers: int) -> list[R]:
    """``work(item, run)`` of every item, at most `workers` at a time; results in order.

    ``work`` runs in threads, so it may look into a store; what takes long it hands to ``run``. The
    first error is raised, and waiting items are not started.
    """
    if min(workers, len(items)) <= 1:
        # On one thread, so that a lone item's result is a worker's to the last bit.
        run = _here if workers <= 1 else _here_alone
        return [work(item, run) for item in items]
    stop = threading.Event()

    def run(function: Callable[..., R], *arguments: Any) -> R:
        if stop.is_set():
            raise InterruptedError("another item has failed")
        return _there(workers, function, *arguments)

    with ThreadPoolExecutor(workers) as threads:
        try:
            return list(threads.map(lambda item: work(item, run), items))
        finally:
            stop.set()


def start(workers: int) -> None:
    """Let worker processes import what they need while this process goes on."""
    if workers > 1:
        threading.Thread(target=_started, args=(workers,), daemon=True).start()


def _started(workers: int) -> ProcessPoolExecutor:
    with _starting:
        return _pool(workers)


def _here(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _here_alone(function: Callable[..., Any], *arguments: Any) -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return function(*arguments)
    finally:
        torch.set_num_threads(threads)


def _there(workers: int, function: Callable[..., Any], *arguments: Any) -> Any:
    taken = {k: v for k, v in os.environ.items() if k.startswith(INHERITED)}
    try:
        return _started(workers).submit(_call, taken, function, arguments).result()
    except BrokenProcessPool as error:
        _pool.cache_clear()  # the next call starts new ones
        raise WorkerDiedError(
            f"{workers} worker processes that finish their work", "one that died, or was killed",
            "free some memory, or set pretrain.workers to 1; what is finished is kept",
        ) from error


def _call(taken: dict[str, str], function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """Ctrl-C ends what a worker does, and no worker: those that wait do not hear it."""
    for name in [name for name in os.environ if name.startswith(INHERITED)]:
        if name not in taken:
            del os.environ[name]
    os.environ.update(taken)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return function(*arguments)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@cache
def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context(_start_method())
    with _one_thread():
        if context.get_start_method() == "forkserver":
            context.set_forkserver_preload(PRELOADED)
            forkserver.ensure_running()
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
        begun = [pool.submit(os.getpid) for _ in range(workers)]
    for each in begun:
        each.result()
    return pool


def _start_method() -> str:
    """Never a fork of this process, whose locks and CUDA context a child cannot use."""
    offered = multiprocessing.get_all_start_methods()
    return "spawn" if torch.cuda.is_available() or "forkserver" not in offered else "forkserver"


def _begin() -> None:
    """One thread; and no orphans left behind when the notebook's kernel is killed."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Have OpenMP in new processes start with one thread; it reads this once, on import."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
