"""One exception class per kind of failure that a user can meet.

Every message is one paragraph in three parts: what was expected, what was found, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class StudyError(Exception):
    """Base of all errors that are the user's to mend; shown without a traceback by the runner.

    Parameters
    ----------
    expected, found, fix : str
        The three parts of the message. A part is a phrase without a full stop.
    """

    def __init__(self, expected: str, found: str, fix: str) -> None:
        super().__init__(f"Expected {expected}. Found {found}. What to do: {fix}.")
        self.expected, self.found, self.fix = expected, found, fix

    def __reduce__(self) -> tuple[type[StudyError], tuple[str, str, str]]:
        """Pickle the three parts: an exception is otherwise rebuilt from its message alone."""
        return type(self), (self.expected, self.found, self.fix)


class UnknownNameError(StudyError):
    """A profile, notebook, parameter, arm or series name that does not exist."""


class InvalidValueError(StudyError):
    """A value of the wrong type or outside its range."""


class EnvironmentProblem(StudyError):
    """Wrong Python, a missing package, or versions that differ from the lock."""


class StorageError(StudyError):
    """A read-only or full disk, or a folder that cannot be written."""


class CorruptArtefactError(StudyError):
    """A stored artefact whose files do not match their recorded hashes."""


class EditedSourceError(StudyError):
    """Code or data that was edited while a process uses it."""


class DownloadError(StudyError):
    """A download that failed, was interrupted, or does not match its checksum."""


class UnsafeWeightsError(StudyError):
    """A model folder that offers pickled weights only."""


class NotebookFailedError(StudyError):
    """A notebook cell that raised, or a kernel that died."""


class WorkerDiedError(StudyError):
    """A worker process that the system killed, most often for memory."""


def require(
    ok: object, expected: str, found: str, fix: str, kind: type[StudyError] = InvalidValueError
) -> None:
    """Raise `kind` with its three parts unless `ok` is true."""
    if not ok:
        raise kind(expected, found, fix)


def nearest(name: str, valid: Sequence[str]) -> str:
    """What to do about `name`: the closest valid one, or all of them.

    A last part that fits ("rank" for "finetune.rank") counts as close.
    """
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    tail = [full for full in valid if full.rpartition(".")[2] == name.rpartition(".")[2]]
    if best := close or tail:
        return f"did you mean {best[0]}"
    return f"choose one of {', '.join(valid)}" if valid else "there is none to choose"
