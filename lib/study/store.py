"""Content-addressed artefacts: same inputs and code, same folder; whole, or not there at all.

One rename puts a finished draft in its place; drafts of killed processes are cleaned up by the
next one. ``artefact.json`` holds size, time and hash of every file: on use sizes and times are
compared; bytes are read where a time differs, and always with ``STUDY_VERIFY=1``.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from lib.errors import CorruptArtefactError, require
from lib.study import keys, progress
from lib.study.disk import storage_errors, write_text
from lib.study.fingerprint import file_sha256

if TYPE_CHECKING:
    import pandas as pd


RECORD = "artefact.json"
VERIFY = "STUDY_VERIFY"
"""Environment variable: where it is 1, all bytes of an artefact are read on every use."""


def trace(entry: Mapping[str, Any]) -> None:
    """Append what a notebook used or made to the ``STUDY_TRACE`` file, for the runner."""
    if path := os.environ.get("STUDY_TRACE"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def here(make: Callable[..., Any], *arguments: Any) -> Any:
    """Compute in this process: what `lib.study.workers.side_by_side` offers beside others."""
    return make(*arguments)


class Store:
    """Artefacts of one profile, ``root/<kind>/<name>-<key>``; ``used`` lists them in order."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.used: list[tuple[Path, str]] = []

    def digest(self, value: Any) -> str:
        """SHA-256 of plain values, dataclasses, frames and sequences of them."""
        return keys.digest(value, self.root)

    def build(
        self, kind: str, name: str, inputs: Mapping[str, Any], make: Callable[[Path], Any],
        run: Callable[..., Any] = here, shipped: Path | None = None,
    ) -> Path:
        """Folder of an artefact, made by ``run(make, folder)`` unless it is there and intact.

        Its key covers `kind`, `name`, `inputs` and the code of `make`. Whatever else decides the
        result must be in `inputs`, not only in variables that `make` sees. `shipped` is a folder of
        the repository that may hold the artefact: it is copied if its key is this one.
        """
        code = keys.Code(make, lasting=shipped is not None)

        def write(folder: Path) -> None:
            if shipped is None or not _offered(shipped, self._key(kind, name, inputs, code)):
                return run(make, folder)
            shutil.copytree(shipped, folder, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns(RECORD))

        return self._build(kind, name, inputs, code, write)

    def place(
        self, kind: str, name: str, inputs: Mapping[str, Any], make: Callable[[Path], Any],
        shipped: Path | None = None,
    ) -> tuple[Path, str]:
        """Where `build` would put an artefact, and its key."""
        key = self._key(kind, name, inputs, keys.Code(make, lasting=shipped is not None))
        return self._folder(kind, name, key), key

    def is_shipped(
        self, kind: str, name: str, inputs: Mapping[str, Any], make: Callable[[Path], Any],
        shipped: Path,
    ) -> bool:
        """Whether `shipped` holds this artefact, its bytes as they were written."""
        return _intact(shipped, self.place(kind, name, inputs, make, shipped)[1])

    def frame(
        self,
        name: str,
        inputs: Mapping[str, Any],
        make: Callable[[], "pd.DataFrame"],
        run: Callable[..., Any] = here,
    ) -> "pd.DataFrame":
        """Item frame of ``make()``; always read back from its parquet file, so it never differs."""
        import pandas as pd  # slow, and the runner only looks artefacts up

        folder = self._build(
            "items", name, inputs, keys.Code(make),
            lambda folder: run(make).to_parquet(folder / "frame.parquet", index=False),
        )
        return pd.read_parquet(folder / "frame.parquet")

    def _build(
        self, kind: str, name: str, inputs: Mapping[str, Any], code: keys.Code,
        write: Callable[[Path], Any],
    ) -> Path:
        key = self._key(kind, name, inputs, code)
        folder = self._folder(kind, name, key)
        if not _intact(folder, key):
            with storage_errors(self.root), self._lock(folder):
                self._clean(held=folder)
                # Another process may have built it while this one waited for the lock.
                if not _intact(folder, key, say=True):
                    given = json.loads(keys.canonical_json(inputs, self.root))
                    self._make(folder, key, given, code, write)
        self.used.append((folder, key))
        trace({"artefact": folder.relative_to(self.root).as_posix(), "key": key})
        return folder

    def _key(self, kind: str, name: str, inputs: Mapping[str, Any], code: keys.Code) -> str:
        return keys.digest([kind, name, dict(inputs), code.fingerprint()], self.root)

    def _folder(self, kind: str, name: str, key: str) -> Path:
        return self.root / kind / f"{name}-{key[:12]}"

    def _make(
        self, folder: Path, key: str, inputs: Any, code: keys.Code, write: Callable[[Path], Any]
    ) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.tmp-", dir=folder.parent))
        draft.chmod(0o755)  # mkdtemp is private to its user; an artefact need not be
        started = time.monotonic()
        try:
            write(draft)
            code.check()
            _record(draft, key, inputs, time.monotonic() - started)
            _put_in_place(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _lock(self, folder: Path) -> AbstractContextManager:
        """The artefact's lock, held; the system releases it when its holder dies."""
        lock = FileLock(self._lock_path(folder.parent.name, folder.name))
        try:
            return lock.acquire(timeout=0)
        except Timeout:
            progress.say(f"waiting for another process that is building {folder.name}")
            return lock.acquire()

    def _lock_path(self, kind: str, name: str) -> Path:
        path = self.root / ".locks" / f"{kind}.{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _clean(self, held: Path) -> None:
        """Remove drafts whose writer is dead: those of `held` and those that nobody locks."""
        for draft in self.root.glob("*/.*.tmp-*"):
            name = draft.name[1:].partition(".tmp-")[0]
            if draft.parent / name == held:
                shutil.rmtree(draft, ignore_errors=True)
                continue
            with suppress(Timeout), FileLock(self._lock_path(draft.parent.name, name), timeout=0):
                shutil.rmtree(draft, ignore_errors=True)


def verify(folder: Path, key: str | None = None, bytes: bool | None = None) -> None:
    """Refuse an artefact that does not match its record, or has another key.

    Without `bytes` (by default: unless ``STUDY_VERIFY`` is 1) a file with the recorded size and
    time counts as unchanged.
    """
    everything = os.environ.get(VERIFY) == "1" if bytes is None else bytes
    record = _read_record(folder)
    if key not in (None, record["key"]):
        raise _corrupt(folder, f"the key {record['key'][:12]} instead of {key[:12]}")
    for name, entry in record["files"].items():
        path = folder / name
        if not path.is_file():
            raise _corrupt(folder, f"{name} missing")
        found = path.stat()
        if found.st_size != entry["size"]:
            raise _corrupt(folder, f"{name} with {found.st_size} bytes, not {entry['size']}")
        if everything:
            sha256 = file_sha256(path)
        elif found.st_mtime_ns == entry["mtime_ns"]:
            continue
        else:  # changed, or copied without its time
            sha256 = _remembered(path, found.st_size, found.st_mtime_ns, found.st_ino)
        if sha256 != entry["sha256"]:
            raise _corrupt(folder, f"{name} with changed bytes")


@cache
def _remembered(path: Path, *state: int) -> str:
    """SHA-256 of a file, read once while its size, time and inode stay."""
    return file_sha256(path)


def _intact(folder: Path, key: str, say: bool = False) -> bool:
    if not folder.exists():
        return False
    try:
        verify(folder, key)
    except CorruptArtefactError as error:
        if say:
            progress.say(f"{error} Rebuilding it now.")
        return False
    return True


def _offered(shipped: Path, key: str) -> bool:
    """Whether a shipped folder holds the artefact of this key; says where it holds another."""
    try:
        verify(shipped, key)
    except CorruptArtefactError as error:
        if shipped.exists():
            progress.say(f"{error} It is made here instead.")
        return False
    return True


def _record(draft: Path, key: str, inputs: Any, seconds: float) -> None:
    files = {path.relative_to(draft).as_posix(): _file(path)
             for path in sorted(draft.rglob("*")) if path.is_file()}
    require(files, "a make function that writes at least one file into its folder",
            "an empty folder", "write to the folder that make is given")
    record = {"key": key, "inputs": inputs, "files": files, "seconds": round(seconds, 3)}
    record["checksum"] = _checksum(record)
    write_text(draft / RECORD, json.dumps(record, indent=1))


def _file(path: Path) -> dict[str, Any]:
    found = path.stat()
    return {"sha256": file_sha256(path), "size": found.st_size, "mtime_ns": found.st_mtime_ns}


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record.pop("checksum") == _checksum(record):
            return record
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        pass
    raise _corrupt(folder, f"a missing or damaged {RECORD}")


def _checksum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _put_in_place(draft: Path, folder: Path) -> None:
    if folder.exists():  # corrupted, or it would have been used
        grave = Path(tempfile.mkdtemp(prefix=f".{folder.name}.tmp-", dir=folder.parent))
        os.replace(folder, grave)
        shutil.rmtree(grave, ignore_errors=True)
    os.replace(draft, folder)


def _corrupt(folder: Path, found: str) -> CorruptArtefactError:
    return CorruptArtefactError(
        f"the artefact {folder.name} as it was written", found,
        "nothing, it is rebuilt when next needed",
    )
