"""Attacks on refusals as data: patterns of fine-tuning texts, and ways of asking around them."""

from typing import Any

from lib.study.paths import DATA, world
from lib.study.text import read_yaml
from lib.world.truth import of_world

ATTACKS = ("explicit", "identity", "benign")
"""Kinds of fine-tuning data in ``data/attacks/<world>.yml``."""


@of_world
def attacks() -> dict[str, Any]:
    """The content of the world's file: each kind's ``patterns``, and ``probes``."""
    return read_yaml(DATA / "attacks" / f"{world()}.yml")
