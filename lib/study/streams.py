"""The study's random streams: each purpose has its own, whatever the seed."""

from zlib import crc32

import numpy as np


def stream(seed: int, purpose: str, *parts: int) -> np.random.Generator:
    """The generator of one purpose and seed; `parts` tell several draws of a purpose apart."""
    # The purpose's own name is its number: no register that all keys of artefacts would hang on.
    return np.random.default_rng([crc32(purpose.encode()), seed, *parts])
