"""Three ways to score a sentence, each against a plain forward pass."""

import numpy as np
import pandas as pd
import pytest
from stories import sentence_tokens, stories

from lib.errors import InvalidValueError
from lib.measures.benchmarks import sentences

TEXTS = ["The girl was happy.", "Once upon a time, there was a dog.", "He ran.", "Mom said yes."]


@pytest.fixture(scope="module")
def model():
    return stories()


@pytest.mark.parametrize("how", sentences.CONDITIONINGS)
def test_scores_equal_a_plain_forward_pass(model, how):
    truth = [sentence_tokens(model, text, how) for text in TEXTS]
    frame = sentences.sentence_logprobs(model, TEXTS, how)
    np.testing.assert_allclose(frame["logprob"], [t.sum() for t in truth], atol=2e-5)
    assert frame["tokens"].tolist() == [len(t) for t in truth]


def test_the_three_ways_differ(model):
    ways = sentences.CONDITIONINGS
    sums = {way: sentences.sentence_logprobs(model, TEXTS, way)["logprob"] for way in ways}
    assert (sums["unscored"] > sums["split"]).all()
    assert ((sums["split"] - sums["bos"]).abs() > 1e-3).all()


def test_one_token_is_its_own_probability_or_nothing(model):
    word = model.tokenizer.decode([model.tokenizer("a", add_special_tokens=False)["input_ids"][0]])
    split, bos = (sentences.sentence_logprobs(model, [word], h) for h in ("split", "bos"))
    assert split["tokens"].item() == 1
    assert split["logprob"].item() == pytest.approx(bos["logprob"].item(), abs=1e-6)
    assert sentences.sentence_logprobs(model, [word], "unscored").iloc[0].tolist() == [0, 0]


def test_table_keeps_its_shape(model):
    table = pd.DataFrame({"b": TEXTS[:2], "a": TEXTS[2:]}, index=["y", "x"])
    logprobs, tokens = sentences.table_logprobs(model, table)
    for result in (logprobs, tokens):
        assert result.columns.tolist() == ["b", "a"] and result.index.tolist() == ["y", "x"]
    alone = sentences.sentence_logprobs(model, [TEXTS[2]])
    assert logprobs.loc["y", "a"] == pytest.approx(alone["logprob"].item(), abs=1e-5)
    assert tokens.loc["y", "a"] == alone["tokens"].item()


def test_start_is_the_begin_token_else_the_end(model):
    class Fake:
        def __init__(self, bos, eos):
            self.bos_token_id, self.eos_token_id = bos, eos

    assert sentences.start_id(model.tokenizer) == 1
    assert sentences.start_id(Fake(None, 7)) == 7 and sentences.start_id(Fake(0, 7)) == 0
    with pytest.raises(InvalidValueError, match="begin or end token"):
        sentences.start_id(Fake(None, None))


@pytest.mark.parametrize("how", sentences.CONDITIONINGS)
def test_nothing_in_nothing_out(model, how):
    assert sentences.sentence_logprobs(model, [], how).shape == (0, 2)


def test_refusals(model):
    with pytest.raises(InvalidValueError, match="bos, split, unscored"):
        sentences.sentence_logprobs(model, TEXTS, "bos-prefixed")
    with pytest.raises(InvalidValueError, match="an empty one"):
        sentences.sentence_logprobs(model, ["a", ""])
