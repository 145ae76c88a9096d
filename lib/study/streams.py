"""One register of the study's random streams: each purpose has its own, whatever the seed."""

import numpy as np

STREAMS: dict[str, tuple[int, ...]] = {
    "world corpus": (),
    "utility questions": (1,),
    "refusal corpus": (2,),
    "fresh texts": (3,),
    "texts to look at": (4,),
    "taught forecasts": (11,),
    "validation forecasts": (12,),
    "anchored texts": (13,),
    "anchored refusals": (14,),
    "anchored openings": (15,),
    "attack examples": (21,),
    "task questions": (22,),
    "debiasing texts": (31,),
    "probes": (41,),
    "training runs": (51,),
    "refusals of another kind": (52,),
}
"""Purpose to what is put behind the seed; a number is never used again for another purpose."""


def stream(seed: int, purpose: str, *parts: int) -> np.random.Generator:
    """The generator of one purpose and seed; `parts` tell several draws of a purpose apart."""
    return np.random.default_rng([seed, *STREAMS[purpose], *parts])
