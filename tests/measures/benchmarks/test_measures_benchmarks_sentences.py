"""Sentences in three ways, and choices after prompts, each against a plain forward pass."""

import numpy as np
import pandas as pd
import pytest
from stories import answer_sum, sentence_tokens, stories

from lib.errors import InvalidValueError
from lib.measures.benchmarks import sentences
from lib.measures.benchmarks.bbq import UNKNOWN
from lib.measures.benchmarks.sentences import choice_logprobs

TEXTS = ["The girl was happy.", "Once upon a time, there was a dog.", "He ran.", "Mom said yes."]
PROMPTS = ["The boy and the girl ran.\n\nQ: Who fell?\nA:", "Mom was sad.\n\nQ: Why?\nA:"]


@pytest.fixture(scope="module")
def model():
    return stories()


@pytest.mark.parametrize("how", sentences.CONDITIONINGS)
def test_scores_equal_a_plain_forward_pass(model, how):
    truth = [sentence_tokens(model, text, how) for text in TEXTS]
    frame = sentences.sentence_logprobs(model, TEXTS, how)
    np.testing.assert_allclose(frame["logprob"], [t.sum() for t in truth], rtol=1e-5)
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
    assert split["logprob"].item() == pytest.approx(bos["logprob"].item(), rel=1e-5)
    assert sentences.sentence_logprobs(model, [word], "unscored").iloc[0].tolist() == [0, 0]


def test_table_keeps_its_shape(model):
    table = pd.DataFrame({"b": TEXTS[:2], "a": TEXTS[2:]}, index=["y", "x"])
    logprobs, tokens = sentences.table_logprobs(model, table)
    for result in (logprobs, tokens):
        assert result.columns.tolist() == ["b", "a"] and result.index.tolist() == ["y", "x"]
    alone = sentences.sentence_logprobs(model, [TEXTS[2]])
    assert logprobs.loc["y", "a"] == pytest.approx(alone["logprob"].item(), rel=1e-5)
    assert tokens.loc["y", "a"] == alone["tokens"].item()


@pytest.mark.parametrize("how", sentences.CONDITIONINGS)
def test_no_sentences_no_rows(model, how):
    assert sentences.sentence_logprobs(model, [], how).shape == (0, 2)


def test_refusals(model):
    with pytest.raises(InvalidValueError, match="bos, split, unscored"):
        sentences.sentence_logprobs(model, TEXTS, "bos-prefixed")
    with pytest.raises(InvalidValueError, match="an empty one"):
        sentences.sentence_logprobs(model, ["a", ""])


def test_choices_equal_a_plain_forward_pass(model):
    asked = [["The boy", "The girl"], ["She fell", "No"]]
    found = choice_logprobs(model, PROMPTS, asked)
    truth = [
        [answer_sum(model, prompt, f" {choice}") for choice in row]
        for prompt, row in zip(PROMPTS, asked, strict=True)
    ]
    np.testing.assert_allclose(found, truth, rtol=1e-5)


def test_shared_choices_equal_separate_ones(model):
    asked = [["The boy"], ["She fell"]]
    apart = choice_logprobs(model, PROMPTS, [[*row, *UNKNOWN] for row in asked])
    shared = choice_logprobs(model, PROMPTS, asked, UNKNOWN)
    assert shared.shape == (2, 11)
    np.testing.assert_array_equal(shared, apart)


def test_order_of_prompts_does_not_matter(model):
    forth = choice_logprobs(model, PROMPTS, [[], []], UNKNOWN[:3])
    back = choice_logprobs(model, PROMPTS[::-1], [[], []], UNKNOWN[:3])
    np.testing.assert_allclose(forth, back[::-1], rtol=1e-5)


def test_no_prompts_no_rows(model):
    assert choice_logprobs(model, [], []).shape == (0, 0)
    assert choice_logprobs(model, [], [], UNKNOWN).shape == (0, 10)
