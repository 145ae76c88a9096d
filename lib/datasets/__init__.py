"""Public benchmarks as tidy frames; nothing of them is part of this repository.

Each family has a module with one loader or a few: ``lib.datasets.stereoset.intrasentence()``.
Files come from the mirror named by ``DEBIAS_DATA_MIRROR``, else from an earlier download, else,
only where ``DEBIAS_DOWNLOAD=1`` asks for it, from their public address. Whatever the place, a file
is read only if its SHA-256 is that of the registry. A file that is absent is an error: no loader
ever falls back on another text.
"""

from lib.datasets.fetch import locate
from lib.datasets.registry import catalogue, registry

__all__ = ["catalogue", "locate", "registry"]
