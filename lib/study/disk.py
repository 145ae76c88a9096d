"""Writing to disk: whole files or none, and plain words when the disk refuses."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lib.errors import StorageError

REFUSALS = {
    errno.ENOSPC: "no space left",
    errno.EDQUOT: "the disk quota used up",
    errno.EROFS: "a read-only file system",
    errno.EACCES: "no permission to write",
    errno.EPERM: "no permission to write",
}


@contextmanager
def storage_errors(place: Path) -> Iterator[None]:
    """Turn the system's refusals to write under `place` into one `StorageError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise _refused(place, REFUSALS[error.errno]) from error
    except StorageError:
        raise
    except Exception as error:  # safetensors quotes the system in an exception of its own
        for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            if os.strerror(code) in str(error):
                raise _refused(place, REFUSALS[code]) from error
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one step: a reader sees the old content or the new, never a part."""
    draft = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    with storage_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(content)
            os.replace(draft, path)
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for UTF-8 text; line ends stay as they are."""
    write_bytes(path, text.encode())


def _refused(place: Path, found: str) -> StorageError:
    return StorageError(
        f"a disk that can be written at {place}", found,
        "free some space or mend the permissions, or choose another disk by setting STUDY_RUNS, "
        "then run again; what is finished is kept",
    )
