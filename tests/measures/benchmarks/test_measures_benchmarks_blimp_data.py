"""BLiMP: a thousand pairs a paradigm, differing in little."""

import pytest
from benchmark_data import needs

from lib.errors import UnknownNameError
from lib.measures.benchmarks import blimp

pytestmark = needs("blimp")


@pytest.mark.parametrize("paradigm", blimp.PARADIGMS)
def test_a_thousand_pairs(paradigm):
    pairs = blimp.minimal_pairs(paradigm)
    assert len(pairs) == 1000 and pairs["item"].is_unique
    assert (pairs["good"] != pairs["bad"]).all()


def test_gender_agreement_differs_in_the_reflexive():
    pairs = blimp.minimal_pairs()
    for good, bad in zip(pairs["good"], pairs["bad"], strict=True):
        changed = {
            w.strip(".") for a, b in zip(good.split(), bad.split(), strict=True) if a != b
            for w in (a, b)
        }
        assert changed <= {"himself", "herself", "itself"} and len(changed) == 2


def test_first_pair_is_that_of_the_source():
    first = blimp.minimal_pairs().iloc[0]
    assert first["good"] == "Katherine can't help herself."
    assert first["bad"] == "Katherine can't help himself."


def test_other_paradigms_are_refused():
    with pytest.raises(UnknownNameError, match="a file of blimp"):
        blimp.minimal_pairs("anaphor_agreement_of_dragons")
