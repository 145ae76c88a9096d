"""Runs one notebook through papermill, in a kernel that is certainly this Python.

papermill works in a thread of its own while the main thread shows progress; so Ctrl-C arrives
where it can be handled, and one loop reads everything that there is to show.
"""

import json
import logging
import os
import queue
import re
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import papermill
import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError

from lib.study import machine, paths
from lib.study.disk import storage_errors
from lib.study.fingerprint import notebook_cells
from tools.run.display import Display

LAUNCH = [
    sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=CRITICAL"
]
ANSI = re.compile(r"\x1b\[[0-9;]*m")
POLL = 0.25
SAMPLE = 4.0
"""Seconds between looks at memory; each costs a process some 15 ms, as all its pages are told."""


@dataclass(frozen=True)
class Failure:
    """Why a notebook did not end: cell `cell` of `cells` raised `error`, or the kernel died."""

    cell: int
    cells: int
    line: str
    error: str
    traceback: str
    dead: bool


@dataclass
class Execution:
    """State of a running notebook, shared by papermill's thread and the main thread."""

    cells: int
    env: dict[str, str]
    words: Path  # what the kernel's process says outside the notebook, its last words among them
    cell: int = 0
    line: str = ""
    events: queue.Queue[int] = field(default_factory=queue.Queue)
    managers: list[AsyncKernelManager] = field(default_factory=list)
    error: BaseException | None = None
    peak: int = 0

    def started(self, cell: Any, cell_index: int) -> None:
        """A code cell is handed to the kernel."""
        self.cell, self.line = self.cell + 1, cell.source.strip().splitlines()[0]
        self.events.put(self.cell)


def execute(
    notebook: Path, output: Path, parameters: dict[str, Any], work: Path, display: Display
) -> tuple[Failure | None, int]:
    """Run a notebook; returns why it failed, if it did, and the largest sum of memory, bytes.

    `output` gets its copy, complete or partial; `work` holds the trace, progress reports and
    Jupyter's own files.
    """
    cells = _code_cells(notebook) + 1  # 1: papermill's own
    run = Execution(cells, _environment(work), work / "kernel.log")
    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    thread = threading.Thread(target=_papermill, args=(run, notebook, output, parameters))
    thread.daemon = True
    thread.start()
    try:
        _watch(run, thread, work / "progress.jsonl", display)
    finally:
        _end_kernels(run)
    if run.error is None:
        return None, run.peak
    if isinstance(run.error, OSError):
        with storage_errors(output):
            raise run.error
    return _failure(run), run.peak


def _papermill(run: Execution, notebook: Path, output: Path, parameters: dict[str, Any]) -> None:
    class ThisInterpreter(AsyncKernelManager):
        """Kernel manager that never looks a kernel up, so that none can be missing or wrong."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            run.managers.append(self)

        async def start_kernel(self, **how: Any) -> None:
            # On its way out a kernel is interrupted, and calls that an error now and then.
            with open(run.words, "wb") as file:
                await super().start_kernel(stderr=file, **how)

        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(
                argv=LAUNCH, display_name="Python 3", language="python", env=run.env
            )

    try:
        papermill.execute_notebook(
            notebook, output, parameters, kernel_name="python3", language="python",
            progress_bar=False, cwd=paths.ROOT, autosave_cell_every=0, coalesce_streams=True,
            kernel_manager_class=ThisInterpreter, on_cell_execute=run.started,
        )
    except BaseException as error:  # handed over to the main thread, which decides
        run.error = error


def _code_cells(notebook: Path) -> int:
    cells = notebook_cells(notebook)
    return sum(cell["cell_type"] == "code" and bool(cell["source"].strip()) for cell in cells)


def _environment(work: Path) -> dict[str, str]:
    given = {
        "STUDY_TRACE": str(work / "trace.jsonl"),
        "STUDY_PROGRESS": str(work / "progress.jsonl"),
        # Libraries' own bars carry speeds and paths into the stored outputs; ours go to the log.
        "TQDM_DISABLE": "1",
        "PYTHONWARNINGS": "ignore:IProgress not found",
        "STUDY_RUNS": str(paths.runs_dir()),
        "PYTHONHASHSEED": "0",
        # A start-up script or a history in the user's own folder must not decide results.
        "IPYTHONDIR": str(work / "ipython"),
    }
    if "OMP_NUM_THREADS" not in os.environ and machine.cores() < machine.bound_cores():
        given["OMP_NUM_THREADS"] = str(machine.cores())  # torch looks at the host's cores
    if "MPLCONFIGDIR" not in os.environ and not _can_write(Path.home() / ".config" / "matplotlib"):
        given["MPLCONFIGDIR"] = str(paths.runs_dir() / ".matplotlib")  # or it warns in the output
    return given


def _can_write(folder: Path) -> bool:
    """Whether a folder is there to be written to, or can be made."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return there.is_dir() and os.access(there, os.W_OK)


def _watch(run: Execution, thread: threading.Thread, reports: Path, display: Display) -> None:
    position, sampled = 0, 0.0
    while True:
        alive = thread.is_alive()
        while not run.events.empty():
            display.cell(run.events.get(), run.cells)
        position = _show_reports(reports, position, display)
        if not alive:
            return
        if time.monotonic() - sampled > SAMPLE:
            sampled = time.monotonic()
            started = psutil.Process().children(recursive=True)  # the kernel, and workers
            run.peak = max(run.peak, sum(map(_memory, started)))
        display.tick()
        thread.join(POLL)


def _show_reports(path: Path, position: int, display: Display) -> int:
    """Show the complete lines after byte `position`; returns where to go on."""
    if not path.is_file():
        return position
    with open(path, "rb") as file:
        file.seek(position)
        content = file.read()
    end = content.rfind(b"\n") + 1
    for line in content[:end].splitlines():
        display.report(json.loads(line))
    return position + end


def _processes(run: Execution) -> list[psutil.Process]:
    """The kernel and everything that it started."""
    found: list[psutil.Process] = []
    for manager in run.managers:
        pid = getattr(manager.provisioner, "pid", None)
        with suppress(psutil.Error):
            if pid is not None:
                kernel = psutil.Process(pid)
                found += [kernel, *kernel.children(recursive=True)]
    return found


def _memory(process: psutil.Process) -> int:
    """Bytes; where the system tells, memory that workers share counts once, not for each."""
    try:
        found = process.memory_full_info()
        return getattr(found, "pss", found.rss)
    except psutil.Error:
        return 0


def _end_kernels(run: Execution) -> None:
    for process in _processes(run):
        with suppress(psutil.Error):
            process.kill()


def _failure(run: Execution) -> Failure:
    error = run.error
    name = getattr(error, "ename", type(error).__name__)
    words = str(getattr(error, "evalue", error)).strip()
    lines = getattr(error, "traceback", None) or []
    told = ANSI.sub("", "\n".join(lines)) if isinstance(lines, list) else str(lines)
    dead = isinstance(error, DeadKernelError) or "kernel died" in words.lower()
    if dead and run.words.is_file():
        told = "\n".join([told, run.words.read_text(encoding="utf-8", errors="replace")]).strip()
    return Failure(run.cell, run.cells, run.line, f"{name}: {words}", told, dead)
