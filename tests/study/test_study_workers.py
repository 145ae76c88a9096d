"""Work side by side: order, errors, one thread each, and processes that stay."""

import os
import signal
import time

import pytest
import torch

from lib.errors import InvalidValueError, WorkerDiedError
from lib.study import workers
from lib.study.workers import side_by_side


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


def interrupted(_: int) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)


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


def test_work_that_is_done_already_starts_no_process(monkeypatch):
    monkeypatch.setattr(workers, "_pool", lambda _: pytest.fail("started workers"))
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


def test_ctrl_c_ends_the_work_and_no_worker():
    """A notebook's kernel and its workers are interrupted together."""
    def pids():
        return {pid for pid, _ in side_by_side(call(process), [1, 2], workers=2)}

    before = pids()
    for pid in before:
        os.kill(pid, signal.SIGINT)
    assert pids() == before
    with pytest.raises(KeyboardInterrupt):
        side_by_side(call(interrupted), [1, 2], workers=2)
    assert pids() == before


def test_a_worker_that_dies_is_explained_and_the_next_call_starts_anew():
    with pytest.raises(WorkerDiedError, match="set pretrain.workers to 1"):
        side_by_side(call(die), [1, 2], workers=2)
    assert side_by_side(call(abs), [-1, -2], workers=2) == [1, 2]
