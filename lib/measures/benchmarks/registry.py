"""What can be read, where it comes from, and what one may do with it.

The entries are data, ``data/benchmarks/registry.yml``: a new dataset is a few lines there and a
loader beside this module.

From a name in the registry to a file on this machine whose bytes are the registered ones.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import pandas as pd
import pooch

from lib.errors import DownloadError, UnknownNameError, nearest
from lib.study import paths
from lib.study.paths import DATA
from lib.study.text import read_yaml

REGISTRY = DATA / "benchmarks" / "registry.yml"


@dataclass(frozen=True)
class File:
    """One file of a dataset.

    Attributes
    ----------
    name : str
        Path inside the dataset's folder of a mirror.
    sha256 : str
        Of its bytes, hexadecimal.
    source : str
        ``owner/repository@commit:path``; empty where no public address has these bytes.
    """

    name: str
    sha256: str
    source: str

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
    """One file of the registry.

    Raises
    ------
    UnknownNameError
        No such dataset, or no such file in it.
    """
    known = registry()
    if dataset not in known:
        raise UnknownNameError("a dataset of the registry", dataset, nearest(dataset, list(known)))
    files = known[dataset].files
    if name not in files:
        raise UnknownNameError(f"a file of {dataset}", name, nearest(name, list(files)))
    return files[name]


def catalogue() -> pd.DataFrame:
    """One row a dataset: dataset, title, licence, citation, files, source, note."""
    return pd.DataFrame([
        {"dataset": d.name, "title": d.title, "licence": d.licence, "citation": d.citation,
         "files": len(d.files), "source": _repositories(d), "note": d.note}
        for d in registry().values()
    ])


def checksums() -> pd.DataFrame:
    """One row a file: dataset, file, sha256, url (empty: from a mirror only)."""
    return pd.DataFrame([
        {"dataset": d.name, "file": f.name, "sha256": f.sha256, "url": f.url}
        for d in registry().values() for f in d.files.values()
    ])


def _repositories(dataset: Dataset) -> str:
    sources = [f.source.partition(":")[0] for f in dataset.files.values()]
    named = dict.fromkeys(source[: source.index("@") + 9] for source in sources if source)
    return ", ".join(named) or "a mirror only"

MIRROR = "DEBIAS_DATA_MIRROR"
"""Environment variable: a folder with one folder a dataset."""
ALLOWED = "DEBIAS_DOWNLOAD"
"""Environment variable: ``1`` allows downloads."""
TIMEOUT = 60
"""Seconds without a byte after which a download has failed."""


def locate(dataset: str, name: str) -> Path:
    """Path of a file with the registered content.

    The mirror comes first, then what was downloaded before, then the network if allowed.

    Raises
    ------
    UnknownNameError
        Not in the registry.
    DownloadError
        The file is nowhere and may not be downloaded, its download failed, or a file of that name
        has other content. A wrong file is never passed over for another place.
    """
    wanted = entry(dataset, name)
    for folder in _places():
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
