"""Work side by side: single-threaded Dask workers, on this machine or on any cluster.

Two beat one process with two threads on the study's small models. Workers stay for as long as the
process that started them, or belong to the cluster that `SCHEDULER` names. Work whose worker dies
is done again by another.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import forkserver, get_all_start_methods, get_context
from typing import Any, TypeVar
from uuid import uuid4

import dask
import torch
from dask.utils import funcname
from distributed import Client, Future, KilledWorker, LocalCluster

from lib.errors import EditedSourceError, EnvironmentProblem, WorkerDiedError, require
from lib.study import paths

SCHEDULER = "STUDY_SCHEDULER"
"""Environment variable: the address of a Dask scheduler whose workers are used."""
PRELOADED = ["distributed", "peft", "scipy.stats", "statsmodels.api", "lib.training.trainer"]
"""What takes ten seconds to import: done once, by the fork server, where there is one."""
INHERITED = ("STUDY_", "DEBIAS_")
"""Prefixes of the environment variables that a worker takes over anew with each call."""
REACHED = 15
"""Seconds in which a scheduler has to answer."""

CODE = hashlib.sha256(b"".join(
    file.relative_to(paths.ROOT).as_posix().encode() + file.read_bytes()
    for place, kind in (("lib", "[!.]*.py"), ("data", "[!.]*.yml"))
    for file in sorted((paths.ROOT / place).rglob(kind)))).hexdigest()
"""What this process runs, whatever is edited from now on.

Not of `lib.study.fingerprint`: imported here, its code would enter the keys of all that hands
work to workers, the shipped bases among them.
"""

T, R = TypeVar("T"), TypeVar("R")
Run = Callable[..., Any]
"""``run(function, *arguments)``: the function's result, computed where there is room."""
_starting = threading.Lock()


def side_by_side(work: Callable[[T, Run], R], items: Sequence[T], workers: int) -> list[R]:
    """``work(item, run)`` of every item, at most `workers` at a time; results in order.

    ``work`` runs in threads, so it may look into a store; what takes long it hands to ``run``. The
    first error is raised, waiting items are not started, and what runs is given up. A cluster that
    `SCHEDULER` names does as much at a time as it has threads.
    """
    if min(workers, len(items)) <= 1:
        # On one thread, so that a lone item's result is a worker's to the last bit.
        run = _here if workers <= 1 else _here_alone
        return [work(item, run) for item in items]
    tasks = _Tasks(workers)
    with ThreadPoolExecutor(_room(workers)) as threads:
        try:
            return list(threads.map(lambda item: work(item, tasks.run), items))
        except BaseException:
            tasks.give_up()
            raise


def start(workers: int) -> None:
    """Let workers import what they need while this process goes on."""
    if workers > 1:
        threading.Thread(target=connected, args=(workers,), daemon=True).start()


def local_cluster(workers: int) -> LocalCluster:
    """A scheduler and `workers` processes of one thread, which end with this process."""
    method = _start_method()
    dask.config.set({"distributed.worker.multiprocessing-method": method})
    with _one_thread():
        if method == "forkserver":
            get_context(method).set_forkserver_preload(PRELOADED)
            forkserver.ensure_running()
        # Memory is the system's to give: a worker that dask pauses or kills halts a run.
        return LocalCluster(n_workers=workers, threads_per_worker=1, memory_limit=0,
                            dashboard_address=":0", silence_logs="ERROR")


class _Tasks:
    """What one call of `side_by_side` has handed to workers."""

    def __init__(self, workers: int) -> None:
        self.workers, self.stopped, self.running = workers, False, set[Future]()

    def run(self, function: Callable[..., R], *arguments: Any) -> R:
        if self.stopped:
            raise CancelledError("another item has failed")
        # By its function's name: dask tells by it how long a piece will take, and what runs.
        task = connected(self.workers).submit(
            _call, CODE, _inherited(), function, arguments, key=f"{funcname(function)}-{uuid4()}")
        self.running.add(task)
        try:
            return task.result()
        except KilledWorker as error:
            raise WorkerDiedError(
                "workers that finish their work",
                f"a piece of it that ended {error.allowed_failures + 1} of them in turn",
                "free some memory, or set pretrain.workers to 1; what is finished is kept",
            ) from error
        finally:
            self.running.discard(task)

    def give_up(self) -> None:
        """Cancel what waits; what runs ends with its worker, if that is this process's own."""
        self.stopped = True
        if not self.running:
            return
        client = connected(self.workers)
        client.cancel(list(self.running), force=True)
        if SCHEDULER not in os.environ:
            _client.cache_clear()  # the next call starts new ones
            client.cluster.close()
            client.close()


def _room(workers: int) -> int:
    """How much is done at a time."""
    if SCHEDULER not in os.environ:
        return workers
    return max(workers, sum(connected(workers).nthreads().values()))


def connected(workers: int) -> Client:
    """The client of the cluster that `SCHEDULER` names, or else of this process's own."""
    with _starting:
        return _client(workers, os.environ.get(SCHEDULER))


@cache
def _client(workers: int, address: str | None) -> Client:
    """A client of the cluster at an address, or of one that is started here."""
    # Texts to train a base on travel with the work, once: nothing to warn of.
    dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"})
    if address is None:
        return Client(local_cluster(workers), set_as_default=False)
    try:
        client = Client(address, timeout=REACHED, set_as_default=False)
        client.get_versions(check=True)
    except (OSError, ValueError) as error:
        raise EnvironmentProblem(
            f"a Dask scheduler at {address} whose workers have this project's packages",
            str(error), f"start it, or leave {SCHEDULER} unset") from error
    return client


def _here(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _here_alone(function: Callable[..., Any], *arguments: Any) -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return function(*arguments)
    finally:
        torch.set_num_threads(threads)


def _inherited() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k.startswith(INHERITED)}


def _call(
    code: str, taken: dict[str, str], function: Callable[..., Any], arguments: Sequence[Any]
) -> Any:
    """In a worker: with one thread, and the caller's settings of now; refuses with other code."""
    require(CODE == code, "workers with the code and data of this process",
            "some that have others", "start them again", EditedSourceError)
    for name in _inherited().keys() - taken.keys():
        del os.environ[name]
    os.environ.update(taken)
    torch.set_num_threads(1)
    return function(*arguments)


def _start_method() -> str:
    """Never a fork of this process, whose locks and CUDA context a child cannot use."""
    offered = get_all_start_methods()
    return "spawn" if torch.cuda.is_available() or "forkserver" not in offered else "forkserver"


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
