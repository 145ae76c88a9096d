"""From the name of a public dataset to a file on this machine with the registered bytes.

The entries are data, ``data/benchmarks/registry.yml``: source, licence, SHA-256.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import pooch

from lib.errors import DownloadError, UnknownNameError, nearest
from lib.study import paths
from lib.study.paths import DATA
from lib.study.text import read_yaml

REGISTRY = DATA / "benchmarks" / "registry.yml"
MIRROR = "DEBIAS_DATA_MIRROR"
"""Environment variable: a folder with one folder a dataset."""
ALLOWED = "DEBIAS_DOWNLOAD"
"""Environment variable: ``1`` allows downloads."""
TIMEOUT = 60
"""Seconds without a byte after which a download has failed."""


@dataclass(frozen=True)
class File:
    """One file: its path inside the dataset's folder, the hash of its bytes, and whence."""

    name: str
    sha256: str
    source: str  # ``owner/repository@commit:path``; empty where no public address has these bytes

    @property
    def url(self) -> str:
        """Address of the bytes at that commit, which cannot change; empty without a source."""
        if not self.source:
            return ""
        repository, _, path = self.source.partition(":")
        return f"https://raw.githubusercontent.com/{repository.replace('@', '/')}/{quote(path)}"


@dataclass(frozen=True)
class Dataset:
    """A dataset: its files by name, its licence, and the work to cite."""

    name: str
    title: str
    licence: str
    citation: str
    files: Mapping[str, File]
    note: str = ""


@cache
def registry() -> Mapping[str, Dataset]:
    """All datasets by name."""
    rows = read_yaml(REGISTRY)
    return MappingProxyType({name: _dataset(name, row) for name, row in rows.items()})


def _dataset(name: str, row: dict[str, Any]) -> Dataset:
    files = [File(f["name"], f["sha256"], f.get("from", "")) for f in row["files"]]
    return Dataset(**row | {"name": name, "files": {file.name: file for file in files}})


def entry(dataset: str, name: str) -> File:
    """One file of the registry; refuses names that it does not have."""
    known = registry()
    if dataset not in known:
        raise UnknownNameError("a dataset of the registry", dataset, nearest(dataset, list(known)))
    files = known[dataset].files
    if name not in files:
        raise UnknownNameError(f"a file of {dataset}", name, nearest(name, list(files)))
    return files[name]


def read_text(dataset: str, name: str) -> str:
    """Content of a file, line ends as they are."""
    return locate(dataset, name).read_bytes().decode("utf-8")


def json_lines(dataset: str, name: str) -> list[dict]:
    """Content of a file with one JSON object a line."""
    return [json.loads(line) for line in read_text(dataset, name).splitlines()]


def locate(dataset: str, name: str) -> Path:
    """Path of a file with the registered content: mirror, then downloads, then the network."""
    wanted = entry(dataset, name)
    for folder in _places():  # a wrong file is never passed over for another place
        path = folder / dataset / name
        if path.is_file():
            return _verified(path, wanted)
    if os.environ.get(ALLOWED) != "1" or not wanted.url:
        raise _absent(dataset, wanted)
    return _download(wanted, downloads() / dataset / name)


def downloads() -> Path:
    """Folder of downloaded files, outside version control."""
    return paths.runs_dir() / ".downloads"


def _places() -> list[Path]:
    mirror = os.environ.get(MIRROR)
    return ([Path(mirror)] if mirror else []) + [downloads()]


def _verified(path: Path, wanted: File) -> Path:
    found = pooch.file_hash(str(path), alg="sha256")
    if found != wanted.sha256:
        raise DownloadError(
            f"{wanted.name} with SHA-256 {wanted.sha256}", f"{found} in {path}",
            "replace that file with the registered one; see data/README.md",
        )
    return path


def _download(wanted: File, path: Path) -> Path:
    """Fetch to a temporary name beside `path`; the file appears only once its hash is right."""
    pooch.get_logger().setLevel("WARNING")
    try:
        found = pooch.retrieve(
            wanted.url, f"sha256:{wanted.sha256}", fname=path.name, path=path.parent,
            downloader=pooch.HTTPDownloader(timeout=TIMEOUT),
        )
    except (ValueError, OSError) as error:  # requests raises kinds of OSError
        raise DownloadError(
            f"{wanted.name} with SHA-256 {wanted.sha256} at {wanted.url}",
            " ".join(str(error).split())[:300].rstrip("."),
            f"try again, or fetch it elsewhere and name its folder in {MIRROR}",
        ) from error
    return Path(found)


def _absent(dataset: str, wanted: File) -> DownloadError:
    terms = f"licence: {registry()[dataset].licence}"
    fetch = f", or set {ALLOWED}=1 to download it from {wanted.url} ({terms})" if wanted.url else ""
    return DownloadError(
        f"the file {dataset}/{wanted.name}",
        f"none in {' or '.join(map(str, _places()))}",
        f"set {MIRROR} to a folder that holds it{fetch}",
    )
