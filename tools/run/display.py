"""What a person sees: the same events in the terminal and in ``run.log``."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from lib.study.disk import storage_errors
from lib.study.progress import clock_text, format_report

QUIET = 30.0
"""Without a terminal, a line says that work goes on after this much silence, seconds."""


class Display:
    """Notebook i of n, cell k of m, elapsed and remaining time; a terminal's line is rewritten."""

    def __init__(
        self, stream: TextIO, log: Path, plan: Sequence[str] = (),
        last: Mapping[str, float | None] | None = None, clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self.path, self._clock = stream, log, clock
        self._plan, self._last = list(plan), dict(last or {})
        self._started = self._notebook_started = self._spoke = clock()
        self._index, self._where, self._report = -1, "", ""

    def line(self, text: str) -> None:
        """A lasting line."""
        clear = "\r\033[K" if self._stream.isatty() else ""
        print(f"{clear}{text}", file=self._stream, flush=True)
        self.log(text)

    def log(self, text: str) -> None:
        """A line for the log only."""
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")
        self._spoke = self._clock()

    def notebook(self, name: str, reason: str) -> None:
        """A notebook starts."""
        self._index = self._plan.index(name)
        self._notebook_started = self._clock()
        self._where, self._report = self._position(), ""
        self.line(f"{self._where}  {name}: runs, because {reason}")

    def cell(self, number: int, total: int) -> None:
        """A code cell starts."""
        self._where, self._report = f"{self._position()}  cell {number}/{total}", ""
        self._event(f"{self._where}  {self.times()}")

    def report(self, report: Mapping[str, Any]) -> None:
        """A computation inside a cell reports."""
        text = format_report(report)
        if "message" in report:
            self.line(f"{self._where}  {text}")
        else:
            self._report = text
            self._event(f"{self._where}  {text}")

    def tick(self) -> None:
        """Called a few times a second: keeps the clock on the terminal moving."""
        if self._stream.isatty():
            self._rewrite()
        elif self._clock() - self._spoke >= QUIET:
            self._event(f"{self._where}  still running  {self.times()}")

    def finished(self, name: str, seconds: float) -> None:
        """A notebook is done."""
        self.line(f"{self._position()}  {name}: done in {clock_text(seconds)}")

    def times(self) -> str:
        """Elapsed time of the run, and what remains if every notebook takes as long as last."""
        text = f"elapsed {clock_text(self._clock() - self._started)}"
        last = [self._last.get(name) for name in self._plan[max(self._index, 0):]]
        if not last or None in last:
            return f"{text}, remaining unknown"
        here = max(0.0, last[0] - (self._clock() - self._notebook_started))
        return f"{text}, about {clock_text(here + sum(last[1:]))} left"

    def _position(self) -> str:
        return f"notebook {self._index + 1}/{len(self._plan)}"

    def _event(self, text: str) -> None:
        if self._stream.isatty():
            self._rewrite()
            self.log(text)
        else:
            self.line(text)

    def _rewrite(self) -> None:
        parts = [self._where, self._report, self.times()]
        text = "  ".join(part for part in parts if part)
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\033[K{text[:width]}", end="", file=self._stream, flush=True)
