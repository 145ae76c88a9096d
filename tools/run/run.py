"""The run itself: skip what stands, run what does not, keep the books."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from filelock import FileLock, Timeout

from lib.errors import EnvironmentProblem, NotebookFailedError, StorageError, require
from lib.study import paths
from lib.study.disk import storage_errors, write_text
from lib.study.fingerprint import SOURCES, notebook_cells, notebook_modules
from lib.study.profiles import Profile, load_profile, parse_overrides
from lib.study.progress import clock_text
from tools.run.display import Display
from tools.run.manifest import Manifest, hashes, now, read_trace
from tools.run.plan import Notebook, discover, fingerprint, reason_to_run, select

if TYPE_CHECKING:
    from tools.run.execute import Failure


WORK = ".work"
START = "start_workers()"
"""How a notebook asks for workers."""


@dataclass(frozen=True)
class Request:
    """What is to be run; `source`, a name or path, is the notebooks' parameter ``profile``."""

    profile: Profile
    source: str
    overrides: dict[str, Any]
    notebooks: Sequence[Notebook]
    fresh: bool = False


def request(
    source: str, parameters: Iterable[str], only: Sequence[str] | None, start: str | None,
    fresh: bool,
) -> Request:
    """What the arguments of the command line ask for, checked before anything runs."""
    overrides = parse_overrides(parameters)
    profile = load_profile(source, overrides)
    if profile.model.source == "public":
        from lib.world.guards import require_guards  # torch

        require_guards(profile, [profile.bases.chosen_on, *profile.bases.numbers])
    if source.endswith(".yaml"):  # the kernel's working directory is not the user's
        source = str(Path(source).resolve())
    names = [name.strip() for group in only or [] for name in group.split(",")]
    wanted = select(discover(paths.NOTEBOOKS), names, start)
    return Request(profile, source, overrides, wanted, fresh)


def run(request: Request, stream: TextIO | None = None) -> None:
    """Run the requested notebooks in order; stop at the first that fails."""
    started, stream = time.monotonic(), stream or sys.stdout
    folder = paths.run_dir(request.profile.name)
    _make_parent(folder)
    lock = _locked(folder)
    try:
        if request.fresh and folder.exists():
            print(f"--fresh: deleting {shown(folder)}", file=stream, flush=True)
            _delete(folder)
        _run(request, folder, stream, started)
    finally:
        lock.release()


def _make_parent(folder: Path) -> None:
    try:
        with storage_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
        raise StorageError(
            f"a folder for results at {folder.parent}", f"none, and none can be made "
            f"({error.strerror})", "name another one in STUDY_RUNS, or leave it unset",
        ) from None


def _delete(folder: Path) -> None:
    """Remove a run folder; one that is a link stays one, to an empty folder."""
    with storage_errors(folder):
        if not folder.is_symlink():
            shutil.rmtree(folder)
            return
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def shown(path: Path) -> str:
    """A path as a person reads it: relative to the repository where it lies inside."""
    inside = path.is_relative_to(paths.ROOT)
    return path.relative_to(paths.ROOT).as_posix() if inside else path.as_posix()


def _locked(folder: Path) -> FileLock:
    lock = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        with storage_errors(folder):
            lock.acquire(timeout=0)
    except Timeout:
        raise EnvironmentProblem(
            f"one run of the profile {folder.name} at a time", "another one that is running",
            "wait until it ends, or stop it; it continues where it stopped",
        ) from None
    return lock


def _run(request: Request, folder: Path, stream: TextIO, started: float) -> None:
    manifest = Manifest(folder)
    if manifest.damaged:
        print("manifest.json is damaged: what it does not tell runs again", file=stream, flush=True)
    _require_one_study(request, manifest)
    prints = {n.name: fingerprint(n, request.profile) for n in request.notebooks}
    reasons = {
        n.name: reason_to_run(manifest.notebooks.get(n.name), prints[n.name], folder, n.path.name)
        for n in request.notebooks
    }
    waiting = [n for n in request.notebooks if reasons[n.name] is not None]
    skipped = len(request.notebooks) - len(waiting)
    if waiting:
        _check(waiting)
        manifest.describe(request.profile, request.overrides)
        last = {n.name: manifest.seconds(n.name) for n in waiting}
        display = Display(stream, folder / "run.log", [n.name for n in waiting], last)
        display.line(f"profile {request.profile.name}, seed {request.profile.seed}: "
                     f"{len(waiting)} to run, {skipped} unchanged; log: {shown(display.path)}")
        with _shared_workers(request.profile.workers, waiting):
            for notebook in waiting:
                display.notebook(notebook.name, reasons[notebook.name])
                now_prints = fingerprint(notebook, request.profile)  # refuses code edited meanwhile
                _run_one(request, notebook, folder, manifest, now_prints, display)
    seconds = clock_text(time.monotonic() - started)
    print(f"{len(waiting)} run, {skipped} unchanged and skipped, in {seconds}: {shown(folder)}",
          file=stream, flush=True)


@contextmanager
def _shared_workers(number: int, notebooks: Iterable[Notebook]) -> Iterator[None]:
    """Workers for all notebooks that start some, so that these import what they need once."""
    cells = (cell for notebook in notebooks for cell in notebook_cells(notebook.path))
    if number < 2 or not any(START in cell["source"] for cell in cells):
        yield
        return
    from lib.study.workers import SCHEDULER, connected, local_cluster  # torch

    if SCHEDULER in os.environ:
        connected(number)  # or says now that it cannot be reached
        yield
        return
    with local_cluster(number) as cluster:
        os.environ[SCHEDULER] = cluster.scheduler_address
        try:
            yield
        finally:
            del os.environ[SCHEDULER]


def _require_one_study(request: Request, manifest: Manifest) -> None:
    """Refuse to lay results of another seed or other settings beside those that would stay."""
    asked = {notebook.name for notebook in request.notebooks}
    staying = {name: entry for name, entry in manifest.notebooks.items() if name not in asked}
    others = sorted(name for name, entry in staying.items() if _given(entry) != (
        request.profile.seed, request.overrides))
    if not others:
        return
    seed, given = _given(manifest.notebooks[others[0]])
    was = ", ".join([f"seed {seed}", *(f"{k}={v}" for k, v in given.items() if k != "seed")])
    require(False, "results of one seed and one set of parameters in a run folder",
            f"{', '.join(others)} there with {was}",
            "run all notebooks (without --only and --from), or name another folder for results, "
            "as in STUDY_RUNS=runs/other ./run_all.sh, or leave the parameters as they were")


def _given(entry: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Seed and parameters that a notebook's last run was given."""
    return entry.get("seed"), entry.get("parameters", {})


def _check(waiting: Sequence[Notebook]) -> None:
    # Imported late, and only if something runs: papermill takes a second to load.
    from tools.run.parameters import check_parameters

    for notebook in waiting:
        check_parameters(notebook.path)


def _run_one(
    request: Request, notebook: Notebook, folder: Path, manifest: Manifest,
    prints: dict[str, Any], display: Display,
) -> None:
    from tools.run.execute import execute

    work = folder / WORK
    with storage_errors(folder):
        shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
        (work / "ipython").mkdir(parents=True)
    os.environ["JUPYTER_RUNTIME_DIR"] = str(work)
    draft = work / notebook.path.name
    seed, overrides = request.profile.seed, request.overrides
    entry: dict[str, Any] = {
        "started": now(), "seed": seed, "parameters": overrides, "fingerprint": prints
    }
    given = {"profile": request.source, "seed": seed,
             "overrides": {k: v for k, v in overrides.items() if k != "seed"}}
    clock = time.monotonic()
    try:
        failure, peak = execute(notebook.path, draft, given, work, display)
        entry["seconds"] = round(time.monotonic() - clock, 3)
        entry["peak_memory_mb"] = round(peak / 1e6)
        before = manifest.notebooks.get(notebook.name, {}).get("exhibits", {})
        entry["artefacts"], made, entry["committed"] = read_trace(work / "trace.jsonl")
        if failure is not None:
            entry["exhibits"] = hashes(folder, sorted({*before, *made}))
            manifest.save(notebook.name, {"status": "failed", "error": failure.error, **entry})
            display.log(failure.traceback or failure.error)
            raise _failed(notebook, failure, _keep_partial(draft, folder))
        SOURCES.check(notebook_modules(notebook.path))  # or either version made the results
        entry["output"] = _finish(draft, folder / notebook.path.name)
        entry["exhibits"] = hashes(folder, made)
        _remove_orphans(folder, set(before) - set(made), notebook)
        manifest.save(notebook.name, {"status": "done", **entry})
        display.finished(notebook.name, entry["seconds"])
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _finish(draft: Path, output: Path) -> str:
    """Move the executed notebook to its place without times and random ids; returns its hash."""
    content = json.loads(draft.read_text(encoding="utf-8"))
    content["metadata"].pop("papermill", None)
    for cell in content["cells"]:
        for timed in ("papermill", "execution"):
            cell["metadata"].pop(timed, None)
        if "injected-parameters" in cell["metadata"].get("tags", []):
            cell["id"] = "injected-parameters"
    write_text(output, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return hashes(output.parent, [output.name])[output.name]


def _remove_orphans(folder: Path, names: set[str], notebook: Notebook) -> None:
    """Remove exhibits that the notebook made once and makes no more, and its failed copy."""
    for path in (folder / name for name in (*names, f"failed/{notebook.path.name}")):
        if path.is_file():
            path.unlink()
    with suppress(OSError):  # other notebooks' failed copies may still be there
        (folder / "failed").rmdir()


def _keep_partial(draft: Path, folder: Path) -> Path | None:
    if not draft.is_file():
        return None
    kept = folder / "failed" / draft.name
    with storage_errors(kept):
        kept.parent.mkdir(exist_ok=True)
        os.replace(draft, kept)
    return kept


def _failed(notebook: Notebook, failure: "Failure", kept: Path | None) -> NotebookFailedError:
    where = f"cell {failure.cell} of {failure.cells} ({failure.line})"
    if failure.dead:
        found = f"a kernel that died in {where}, probably out of memory"
        fix = "lower batch_size, for example -p finetune.batch_size=16, or close other programs"
    else:
        found = f"in {where} {failure.error.rstrip('.')}"
        fix = "mend the cause"
    copy = f"; the partial copy is {shown(kept)}" if kept else ""
    return NotebookFailedError(
        f"the notebook {notebook.name} to run to its end", found,
        f"{fix} and run again, what is finished is kept{copy}",
    )
