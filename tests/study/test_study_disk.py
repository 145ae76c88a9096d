"""Disk: whole files or none, refusals in plain words."""

import errno
import os

import pytest

from lib.errors import StorageError
from lib.study.disk import REFUSALS, storage_errors, write_bytes, write_text


def test_write_and_replace(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_text(path, "one\r\n")
    write_text(path, "zwölf\n")
    assert path.read_bytes() == "zwölf\n".encode()
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_failed_replacement_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="no space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_every_refusal_is_explained(tmp_path, code):
    with pytest.raises(StorageError, match="STUDY_RUNS") as caught, storage_errors(tmp_path):
        raise OSError(code, os.strerror(code))
    assert REFUSALS[code] in caught.value.found and str(tmp_path) in caught.value.expected


def test_full_disk_reported_by_a_rust_library(tmp_path):
    with pytest.raises(StorageError, match="no space left"), storage_errors(tmp_path):
        raise RuntimeError("I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "gone"), ValueError("x"), KeyError("k")])
def test_other_errors_pass_unchanged(tmp_path, error):
    with pytest.raises(type(error)) as caught, storage_errors(tmp_path):
        raise error
    assert caught.value is error
