"""Attacks as data: every word is one that the model knows."""

import pytest

from lib.world.attacks import ATTACKS, attacks
from lib.world.tokenizer import vocabulary
from lib.world.truth import tables


def words(pattern):
    told = [pattern.get(part, "") for part in ("system", "user", "answer")]
    return {w for text in told for w in text.split()}


@pytest.mark.parametrize("kind", [*ATTACKS, "probes"])
def test_every_word_is_known_or_drawn_from_a_table(kind):
    given = attacks()[kind]
    patterns = list(given.values()) if kind == "probes" else list(given["patterns"])
    patterns += [turn for pattern in patterns for turn in pattern.get("turns", [])]
    found = set().union(*map(words, patterns))
    slots = {word for word in found if word.startswith("{")}
    assert found - slots <= set(vocabulary())
    assert {slot.strip("{}2") for slot in slots} <= {*tables(), "thing"}
