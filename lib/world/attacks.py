"""Attacks on refusals as data: patterns of fine-tuning texts, and ways of asking around them."""

from functools import lru_cache
from typing import Any

from lib.study.paths import DATA
from lib.study.text import read_yaml

ATTACKS = ("explicit", "identity", "benign")
"""Kinds of fine-tuning data in ``data/attacks.yml``."""


@lru_cache
def attacks() -> dict[str, Any]:
    """The content of ``data/attacks.yml``: each kind's ``patterns``, and ``probes``."""
    return read_yaml(DATA / "attacks.yml")
