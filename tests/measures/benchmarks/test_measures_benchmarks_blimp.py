"""BLiMP: whole-sentence comparison, against a plain forward pass."""

import pandas as pd
import pytest
from benchmark_data import needs
from stories import sentence_tokens, stories

from lib.measures.benchmarks import blimp
from lib.measures.benchmarks import blimp as data


@needs("blimp")
def test_scores_equal_a_plain_forward_pass():
    model, pairs = stories(), data.minimal_pairs().head(4)
    found = blimp.score(model, pairs)
    for row, text in zip(found.to_dict("records"), pairs.to_dict("records"), strict=True):
        good, bad = (sentence_tokens(model, text[name], "bos").sum() for name in ("good", "bad"))
        assert (row["good"], row["bad"]) == pytest.approx((good, bad), abs=5e-5)
        assert row["correct"] == (good > bad)


@needs("blimp")
def test_a_model_of_stories_knows_he_from_she():
    found = blimp.score(stories(), data.minimal_pairs().head(100))
    assert 0.6 < found["correct"].mean() <= 1
    assert set(found["benchmark"]) == {"blimp_anaphor_gender_agreement"}


def test_a_tie_is_wrong():
    pairs = pd.DataFrame({"item": ["0"], "good": ["The dog ran."], "bad": ["The dog ran."]})
    assert blimp.score(stories(), pairs)["correct"].item() == 0


def test_paradigm_names_the_benchmark():
    pairs = pd.DataFrame({"item": ["0"], "good": ["A dog ran."], "bad": ["A dog run."]})
    found = blimp.score(stories(), pairs, paradigm="other")
    assert found["benchmark"].item() == "blimp_other" and found["cluster"].item() == "0"
    assert found["good"].item() == pytest.approx(
        sentence_tokens(stories(), "A dog ran.", "bos").sum(), abs=5e-5
    )
