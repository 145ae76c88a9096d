"""From a name in the registry to a file on this machine whose bytes are the registered ones."""

import os
from pathlib import Path

import pooch

from lib import paths
from lib.datasets.registry import File, entry, registry
from lib.errors import DownloadError

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
