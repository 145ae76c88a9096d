"""Work side by side: order, errors, one thread each, and processes that stay."""

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from lib.errors import (
    EditedSourceError,
    EnvironmentProblem,
    InvalidValueError,
    WorkerDiedError,
)
from lib.study import workers
from lib.study.workers import side_by_side

WAITED = 120


def process(_: int) -> tuple[int, int]:
    time.sleep(0.2)  # so that the other worker takes the next item
    return os.getpid(), torch.get_num_threads()


def environment(name: str) -> str | None:
    return os.environ.get(name)


def refuse(item: int) -> int:
    if item == 2:
        raise InvalidValueError("an item that is not 2", "2", "leave it out")
    return item


def die(_: int) -> None:
    os._exit(9)


def wait(place: Path) -> None:
    (place / str(os.getpid())).touch()
    time.sleep(WAITED)


def die_once(job: tuple[Path, int]) -> int:
    """The square of a number, at the second attempt: the first kills its worker."""
    first, number = job
    if not first.exists():
        first.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def product(seed: int) -> float:
    one, two = torch.randn(2, 300, 300, generator=torch.Generator().manual_seed(seed))
    return float((one @ two).sum())


def call(function):
    return lambda item, run: run(function, item)


def test_one_worker_and_single_items_stay_in_this_process():
    here = os.getpid()
    assert side_by_side(call(process), [1, 2], workers=1) == [(here, torch.get_num_threads())] * 2
    assert side_by_side(call(process), [1], workers=2) == [(here, 1)]


def test_workers_have_one_thread_and_stay_for_the_next_call():
    first = side_by_side(call(process), range(4), workers=2)
    again = side_by_side(call(process), range(4), workers=2)
    assert {threads for _, threads in first} == {1}
    assert {pid for pid, _ in first} == {pid for pid, _ in again}
    assert os.getpid() not in {pid for pid, _ in first} and len({pid for pid, _ in first}) == 2


def test_results_are_in_the_order_of_the_items():
    assert side_by_side(call(abs), [-3, 1, -2], workers=2) == [3, 1, 2]


def test_how_long_a_piece_takes_is_told_by_others_of_its_function():
    side_by_side(call(abs), [1, 2], workers=2)
    side_by_side(call(partial(pow, 2)), [3, 4], workers=2)
    known = workers.connected(2).cluster.scheduler.task_prefixes
    assert {"abs", "pow"} <= known.keys() and not {"_call", "call"} & known.keys()


def test_work_that_is_done_already_starts_no_process(monkeypatch):
    monkeypatch.setattr(workers, "_client", lambda *_: pytest.fail("started workers"))
    assert side_by_side(lambda item, run: item, [1, 2, 3], workers=2) == [1, 2, 3]


def test_workers_see_this_processs_settings_of_now(monkeypatch):
    for value in ("one", "two"):
        monkeypatch.setenv("STUDY_TOY", value)
        found = side_by_side(call(environment), ["STUDY_TOY"] * 2, workers=2)
        assert found == [value, value]
    monkeypatch.delenv("STUDY_TOY")
    assert side_by_side(call(environment), ["STUDY_TOY"] * 2, workers=2) == [None, None]


def test_an_error_reaches_the_caller_and_waiting_items_are_not_started():
    started = []

    def work(item, run):
        started.append(item)
        if item > 2:
            time.sleep(0.3)  # so that a busy machine has seconds for what must come first
        return run(refuse, item)

    with pytest.raises(InvalidValueError, match="not 2"):
        side_by_side(work, [2, 1, *range(3, 60)], workers=2)
    assert len(started) < 30


@pytest.mark.skipif(signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
                    reason="started by a shell in the background, which ignores Ctrl-C")
def test_ctrl_c_ends_what_runs_and_the_next_call_goes_on(tmp_path):
    """A notebook's kernel and its workers are interrupted together."""
    def interrupt():
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.05)
        for pid in [*map(int, os.listdir(tmp_path)), os.getpid()]:
            os.kill(pid, signal.SIGINT)

    side_by_side(call(abs), [1, 2], workers=2)
    begun = time.monotonic()
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        side_by_side(call(wait), [tmp_path] * 2, workers=2)
    assert time.monotonic() - begun < 60 < WAITED
    assert side_by_side(call(abs), [-1, -2], workers=2) == [1, 2]


def test_work_of_a_worker_that_is_killed_is_done_by_another(tmp_path):
    jobs = [(tmp_path / str(i), i) for i in range(6)]
    assert side_by_side(call(die_once), jobs, workers=2) == [i**2 for i in range(6)]
    assert len(list(tmp_path.iterdir())) == 6


def test_work_that_kills_every_worker_is_explained_and_the_next_call_goes_on():
    with pytest.raises(WorkerDiedError, match="set pretrain.workers to 1"):
        side_by_side(call(die), [1, 2], workers=2)
    assert side_by_side(call(abs), [-1, -2], workers=2) == [1, 2]


def test_another_cluster_gives_the_same_to_the_last_bit(monkeypatch):
    serial = side_by_side(call(product), range(8), workers=1)
    here = side_by_side(call(product), range(8), workers=2)
    with workers.local_cluster(2) as cluster:
        monkeypatch.setenv(workers.SCHEDULER, cluster.scheduler_address)
        pids = {pid for pid, _ in side_by_side(call(process), range(6), workers=2)}
        there = side_by_side(call(product), range(8), workers=2)
    monkeypatch.delenv(workers.SCHEDULER)
    assert pids.isdisjoint({pid for pid, _ in side_by_side(call(process), range(4), workers=2)})
    assert serial == here == there


def test_a_cluster_with_more_threads_than_the_profile_has_workers_uses_them_all(monkeypatch):
    with workers.local_cluster(3) as cluster:
        monkeypatch.setenv(workers.SCHEDULER, cluster.scheduler_address)
        assert len({pid for pid, _ in side_by_side(call(process), range(9), workers=2)}) == 3


def test_workers_that_started_with_other_code_refuse(monkeypatch):
    side_by_side(call(abs), [1, 2], workers=2)
    monkeypatch.setattr(workers, "CODE", "edited since")
    with pytest.raises(EditedSourceError, match="start them again"):
        side_by_side(call(abs), [1, 2], workers=2)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(workers, "REACHED", 1)
    monkeypatch.setenv(workers.SCHEDULER, "tcp://127.0.0.1:9")
    with pytest.raises(EnvironmentProblem, match="127.0.0.1:9.*leave STUDY_SCHEDULER unset"):
        side_by_side(call(abs), [1, 2], workers=2)
