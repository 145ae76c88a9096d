"""What must not change: texts of the world, and requests with the answers to keep."""

from collections.abc import Collection

import numpy as np

from lib.finetune import Example
from lib.sandbox.corpus import kind_blocks, mixture, refusal_blocks

ANCHORS = 400
"""Texts on which a regularised arm must still speak like its base."""
UNLEARNED = "forbidden"
"""Kind of text that the second stage of the base's training took back."""


def world_anchors(seed: int, left_out: Collection[str], n: int = ANCHORS) -> tuple[Example, ...]:
    """About `n` texts of all kinds but some, as they stand in the world's mixture.

    Parameters
    ----------
    left_out : collection of str
        Kinds that are being changed; forbidden requests with answers are always left out.
    """
    return world_texts(n, left_out, np.random.default_rng([seed, 13]))


def world_texts(
    n: int, left_out: Collection[str], rng: np.random.Generator
) -> tuple[Example, ...]:
    """The same from a random stream."""
    shares = {kind: share for kind, share in mixture().items()
              if kind not in {*left_out, UNLEARNED}}
    total = sum(shares.values())
    return as_examples(b for kind, share in shares.items()
                       for b in kind_blocks(kind, round(n * share / total), 2, rng))


def refusals(seed: int, n: int) -> tuple[Example, ...]:
    """About `n` forbidden requests, of things that the base was taught, with refusals."""
    return as_examples(refusal_blocks(n, np.random.default_rng([seed, 14])))


def as_examples(blocks) -> tuple[Example, ...]:  # noqa: ANN001
    """All rows of blocks of text."""
    return tuple(Example(tuple(p), tuple(a)) for b in blocks
                 for p, a in zip(b.prompts(), b.answers(), strict=True))
