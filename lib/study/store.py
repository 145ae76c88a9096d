"""What an artefact's key is computed from: canonical text of its inputs, and its code.

Content-addressed artefacts: same inputs and code, same folder; whole, or not there at all.

An artefact (a model, an item frame) is built in a hidden folder beside its final place and moved
there by one rename once ``artefact.json`` has recorded the hash of every file. Killed at any
moment, the process leaves either nothing or a whole artefact; what it was writing is cleaned up
by the next one. On every use the hashes are checked again.
"""

import dataclasses
import hashlib
import inspect
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from lib.errors import CorruptArtefactError, InvalidValueError
from lib.study import progress
from lib.study.disk import storage_errors, write_text
from lib.study.fingerprint import code_fingerprint, file_sha256

if TYPE_CHECKING:
    import pandas as pd


PACKAGE = "lib"


def canonical_json(value: Any, root: Path) -> str:
    """One text for equal inputs: sorted keys, no spaces, exact floats.

    A folder inside `root` is written relative to it: the name of an artefact ends in its key, so
    its content is covered, and moving the run folder changes nothing.

    Raises
    ------
    InvalidValueError
        A value without canonical text, such as a model, or a float that is not finite.
    """
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), allow_nan=False,
            default=lambda item: _plain(item, root),
        )
    except ValueError as error:
        raise _unfit("a float that is not finite, or a circular reference") from error
    except TypeError as error:
        raise _unfit(str(error)) from error


def code_modules(make: Callable[..., Any], code: Sequence[str]) -> tuple[list[str], str]:
    """Modules of `lib` that decide what `make` does, and its own source if it lies outside.

    For a function written in a notebook, the modules are those of every `lib` object that the
    notebook has imported so far, since any of them may be called.
    """
    if code:
        return sorted(code), ""
    function = inspect.unwrap(getattr(make, "func", make))
    module = getattr(function, "__module__", None) or type(function).__module__
    if _inside(module):
        return [module], ""
    try:
        source = inspect.getsource(function)
        seen = function.__globals__.values()
    except (OSError, TypeError, AttributeError):
        raise InvalidValueError(
            "a make function of lib or one whose source can be read", repr(make),
            "name the modules it depends on: code=[...]",
        ) from None
    owners = {value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
              for value in list(seen)}
    return sorted(name for name in owners if isinstance(name, str) and _inside(name)), source


def trace(entry: Mapping[str, Any]) -> None:
    """Append what a notebook used or made to the ``STUDY_TRACE`` file, for the runner."""
    if path := os.environ.get("STUDY_TRACE"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def _inside(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


def _plain(item: Any, root: Path) -> Any:
    if isinstance(item, Path):
        inside = item.is_relative_to(root)
        return {"artefact": item.relative_to(root).as_posix()} if inside else item.as_posix()
    if hasattr(item, "model_dump"):
        return item.model_dump(mode="json")
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    if isinstance(item, set | frozenset):
        return sorted(item)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(item, numpy.generic | numpy.ndarray):
        return item.tolist()
    if isinstance(item, Mapping):
        return dict(item)
    raise TypeError(f"{type(item).__name__} {item!r:.60}")


def _unfit(found: str) -> InvalidValueError:
    return InvalidValueError(
        "inputs made of numbers, text, lists, settings and artefact folders", found,
        "pass what identifies it instead, such as the folder of a model",
    )

RECORD = "artefact.json"


class Store:
    """Artefacts of one profile under ``root/<kind>/<name>-<key>``.

    Parameters
    ----------
    root : Path
        Folder of all artefacts, usually ``runs/<profile>``; made when first needed.

    Attributes
    ----------
    used : list of (Path, str)
        Folder and key of every artefact that was built or found, in order of use.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.used: list[tuple[Path, str]] = []

    def build(
        self,
        kind: str,
        name: str,
        inputs: Mapping[str, Any],
        make: Callable[[Path], Any],
        code: Sequence[str] = (),
    ) -> Path:
        """Folder of an artefact, made by ``make(folder)`` unless it is already there and intact.

        The key is SHA-256 over `kind`, `name`, `inputs` and the code fingerprint. Everything that
        decides the result must therefore be in `inputs`, not only in variables that `make` sees.

        Parameters
        ----------
        kind, name : str
            Group and name, such as "models" and "base"; they form the folder's name.
        inputs : mapping
            Numbers, strings, lists, settings and folders of other artefacts of this store.
        make : callable
            Writes the artefact's files into the folder that it is given.
        code : sequence of str
            Modules whose import closure decides the result; by default the module of `make`.

        Raises
        ------
        InvalidValueError
            `inputs` holds something that has no canonical text, or `make` wrote nothing.
        StorageError
            The disk is full or read-only.
        """
        modules, source = code_modules(make, code)
        key = self._key(kind, name, inputs, code_fingerprint(modules) + source)
        folder = self.root / kind / f"{name}-{key[:12]}"
        if not _intact(folder, key):
            with storage_errors(self.root), self._lock(folder):
                self._clean(held=folder)
                # Another process may have built it while this one waited for the lock.
                if not _intact(folder, key, say=True):
                    self._make(folder, key, canonical_json(inputs, self.root), make)
        self.used.append((folder, key))
        trace({"artefact": folder.relative_to(self.root).as_posix(), "key": key})
        return folder

    def frame(
        self,
        name: str,
        inputs: Mapping[str, Any],
        make: Callable[[], "pd.DataFrame"],
        code: Sequence[str] = (),
    ) -> "pd.DataFrame":
        """Item frame made by ``make()``, kept as parquet under kind "items".

        It is always read back from the file, so that the first and a later run see the same
        values; a column of lists comes back as arrays.
        """
        import pandas as pd

        modules, source = code_modules(make, code)
        folder = self.build(
            "items",
            name,
            {**inputs, "_source": source} if source else inputs,
            lambda folder: make().to_parquet(folder / "frame.parquet", index=False),
            code=modules,
        )
        return pd.read_parquet(folder / "frame.parquet")

    def _key(self, kind: str, name: str, inputs: Mapping[str, Any], code: str) -> str:
        text = canonical_json([kind, name, dict(inputs), code], self.root)
        return hashlib.sha256(text.encode()).hexdigest()

    def _make(self, folder: Path, key: str, inputs: str, make: Callable[[Path], Any]) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.tmp-", dir=folder.parent))
        draft.chmod(0o755)  # mkdtemp is private to its user; an artefact need not be
        started = time.monotonic()
        try:
            make(draft)
            _record(draft, key, json.loads(inputs), time.monotonic() - started)
            _put_in_place(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    @contextmanager
    def _lock(self, folder: Path) -> Iterator[None]:
        """Hold the artefact's lock; the system releases it when its holder dies."""
        lock = FileLock(self._lock_path(folder.parent.name, folder.name))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.say(f"waiting for another process that is building {folder.name}")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

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


def verify(folder: Path, key: str | None = None) -> None:
    """Check an artefact against its record.

    Raises
    ------
    CorruptArtefactError
        The record is missing, damaged or of another key, or a file is missing, shorter or changed.
    """
    record = _read_record(folder)
    if key not in (None, record["key"]):
        raise _corrupt(folder, f"the key {record['key'][:12]} instead of {key[:12]}")
    for name, entry in record["files"].items():
        path = folder / name
        if not path.is_file():
            raise _corrupt(folder, f"{name} missing")
        if path.stat().st_size != entry["size"]:
            raise _corrupt(folder, f"{name} with {path.stat().st_size} bytes, not {entry['size']}")
        if file_sha256(path) != entry["sha256"]:
            raise _corrupt(folder, f"{name} with changed bytes")


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


def _record(draft: Path, key: str, inputs: Any, seconds: float) -> None:
    files = {
        path.relative_to(draft).as_posix(): {
            "sha256": file_sha256(path), "size": path.stat().st_size
        }
        for path in sorted(draft.rglob("*")) if path.is_file()
    }
    if not files:
        raise InvalidValueError(
            "a make function that writes at least one file into its folder", "an empty folder",
            "write to the folder that make is given",
        )
    record = {"key": key, "inputs": inputs, "files": files, "seconds": round(seconds, 3)}
    record["checksum"] = _checksum(record)
    write_text(draft / RECORD, json.dumps(record, indent=1))


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
