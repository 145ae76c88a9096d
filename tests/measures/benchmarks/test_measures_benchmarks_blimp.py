"""BLiMP: a thousand pairs a paradigm, whole-sentence comparison against a plain forward pass."""

import pandas as pd
import pytest
from benchmark_data import needs
from stories import sentence_tokens, stories

from lib.measures.benchmarks import blimp
from lib.measures.benchmarks.paired import exact, percent


@pytest.fixture(scope="module")
def pairs():
    return blimp.minimal_pairs()


def some(good, bad):
    return pd.DataFrame({"item": ["0"], "paradigm": ["x"], "good": [good], "bad": [bad]})


@needs("blimp")
def test_a_thousand_pairs_a_paradigm(pairs):
    assert (pairs.groupby("paradigm", sort=False).size() == 1000).all()
    assert tuple(pairs["paradigm"].unique()) == blimp.PARADIGMS
    assert pairs["item"].is_unique and (pairs["good"] != pairs["bad"]).all()


@needs("blimp")
def test_gender_agreement_differs_in_the_reflexive(pairs):
    gender = pairs[pairs["paradigm"] == "anaphor_gender_agreement"]
    for good, bad in zip(gender["good"], gender["bad"], strict=True):
        changed = {
            w.strip(".") for a, b in zip(good.split(), bad.split(), strict=True) if a != b
            for w in (a, b)
        }
        assert changed <= {"himself", "herself", "itself"} and len(changed) == 2


@needs("blimp")
def test_first_pair_is_that_of_the_source(pairs):
    first = pairs.iloc[0]
    assert first["good"] == "Katherine can't help herself."
    assert first["bad"] == "Katherine can't help himself."


@needs("blimp")
def test_scores_equal_a_plain_forward_pass(pairs):
    model, few = stories(), pairs.head(4)
    found = blimp.score(model, few)
    for row, text in zip(found.to_dict("records"), few.to_dict("records"), strict=True):
        good, bad = (sentence_tokens(model, text[name], "bos").sum() for name in ("good", "bad"))
        assert (row["good"], row["bad"]) == pytest.approx((good, bad), rel=1e-5)
        assert row["correct"] == (good > bad)


@needs("blimp")
def test_a_model_of_stories_knows_he_from_she_and_each_paradigm_has_its_share(pairs):
    few = pd.concat([pairs.head(100), pairs.iloc[1000:1020]])
    found = blimp.score(stories(), few)
    shares = exact(blimp.parts(found), percent)
    assert list(shares) == [f"accuracy_{name}" for name in blimp.PARADIGMS[:2]]
    assert 60 < shares["accuracy_anaphor_gender_agreement"] <= 100
    by_hand = found.groupby("paradigm", sort=False)["correct"].mean()
    assert list(shares.values()) == pytest.approx((100 * by_hand).tolist())


def test_a_tie_is_wrong():
    assert blimp.score(stories(), some("The dog ran.", "The dog ran."))["correct"].item() == 0
