"""Progress of long computations, as JSON lines in the file that ``STUDY_PROGRESS`` names.

The runner shows and logs them; a notebook's output stays without. Elsewhere they go to stderr.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

INTERVAL = 2.0
"""Shortest time between two reports of the same computation, seconds."""


class Progress:
    """Reports the steps of one computation, at most one line every `INTERVAL` seconds."""

    def __init__(
        self, label: str, total: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.label, self.total, self._clock = label, total, clock
        self._started = clock()
        self._reported = self._started

    def update(self, step: int, **figures: float) -> None:
        """Report that `step` steps are done, with figures such as ``loss=2.31``; cheap in loops."""
        now = self._clock()
        if now - self._reported < INTERVAL and step < self.total:
            return
        self._reported = now
        elapsed = now - self._started
        eta = elapsed / step * (self.total - step) if step else None
        numbers = {name: float(value) for name, value in figures.items()}
        emit({"label": self.label, "step": step, "total": self.total, "figures": numbers,
              "eta": eta})


@contextmanager
def track(label: str, total: int) -> Iterator[Progress]:
    """A `Progress` that says when it starts."""
    emit({"label": label, "step": 0, "total": total, "figures": {}, "eta": None})
    yield Progress(label, total)


def say(message: str) -> None:
    """One line for the person who watches, through the same channel; not a result."""
    emit({"message": message})


def emit(report: Mapping[str, Any]) -> None:
    """Append a report to the ``STUDY_PROGRESS`` file, or print it to stderr."""
    if path := os.environ.get("STUDY_PROGRESS"):
        # One write to a file opened for appending: lines of parallel workers do not interleave.
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(report) + "\n")
    else:
        print(format_report(report), file=sys.stderr, flush=True)


def format_report(report: Mapping[str, Any]) -> str:
    """A report as a line: ``pretrain  step 120/1500  loss 2.31  ETA 0:42``."""
    if "message" in report:
        return str(report["message"])
    parts = [str(report["label"]), f"step {report['step']}/{report['total']}"]
    parts += [f"{name} {value:.4g}" for name, value in report["figures"].items()]
    if report["eta"] is not None and report["step"] < report["total"]:
        parts.append(f"ETA {clock_text(report['eta'])}")
    return "  ".join(parts)


def clock_text(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
