"""What can be read, where it comes from, and what one may do with it.

The entries are data, ``data/benchmarks/registry.yml``: a new dataset is a few lines there and a
loader beside this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import pandas as pd

from lib.errors import UnknownNameError
from lib.names import nearest
from lib.paths import DATA
from lib.yaml_reader import read_yaml

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
