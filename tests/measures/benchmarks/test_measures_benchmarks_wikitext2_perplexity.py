"""Perplexity: windows written out by hand, units, and what is printed."""

import numpy as np
import pandas as pd
import pytest
from benchmark_data import needs
from stories import stories, token_logprobs

from lib.errors import InvalidValueError
from lib.measures.benchmarks import wikitext2
from lib.measures.benchmarks import wikitext2 as px

TEXTS = pd.DataFrame({
    "item": ["a", "b"],
    "text": ["Once upon a time there was a little girl who had a red ball. She ran to the park.",
             "Tom é sad."],
})


@pytest.fixture(scope="module")
def model():
    return stories()


def ids_of(model, text):
    return model.tokenizer(text, add_special_tokens=False)["input_ids"]


def rolling(model, ids, window):
    """Every token once; a window sees its own tokens and one before it."""
    total = 0.0
    for at in range(0, len(ids), window):
        before = ids[at - 1] if at else model.tokenizer.bos_token_id
        total -= token_logprobs(model, [before, *ids[at : at + window]]).sum()
    return total


def meade(model, ids, window):
    """Hugging Face's loss of each window, times the window's length."""
    total = 0.0
    for at in range(0, len(ids), window):
        piece = ids[at : at + window]
        if len(piece) > 1:  # of one token there is no loss
            total -= token_logprobs(model, piece).mean() * len(piece)
    return total


@pytest.mark.parametrize("protocol, by_hand", [("rolling", rolling), ("meade", meade)])
@pytest.mark.parametrize("window", [6, 29])
def test_windows(model, protocol, by_hand, window):
    found = px.score(model, TEXTS, window, protocol)
    ids = [ids_of(model, text) for text in TEXTS["text"]]
    truth = [by_hand(model, i, window) for i in ids]
    np.testing.assert_allclose(found["nll"], truth, rtol=1e-5)
    lost = [protocol == "meade" and len(i) % window == 1 for i in ids]
    assert found["tokens"].tolist() == [len(i) - n for i, n in zip(ids, lost, strict=True)]


def test_whole_text_in_one_window_is_its_likelihood(model):
    found = px.score(model, TEXTS)
    assert found["window"].tolist() == [511, 511]
    ids = ids_of(model, TEXTS["text"][0])
    truth = -token_logprobs(model, [model.tokenizer.bos_token_id, *ids]).sum()
    assert found["nll"][0] == pytest.approx(truth, rel=1e-6)


def test_default_window_of_bias_bench_leaves_thirty_two_tokens(model):
    assert px.score(model, TEXTS, protocol="meade")["window"].tolist() == [480, 480]


def test_units(model):
    found = px.score(model, TEXTS)
    assert found["words"].tolist() == [19, 3] and found["bytes"].tolist() == [81, 11]
    nats = found["nll"].sum()
    for unit, count in (("token", found["tokens"].sum()), ("word", 22), ("byte", 92)):
        result = px.perplexity(found, unit)
        assert result.count == count and result.nats == pytest.approx(nats)
        assert result.value == pytest.approx(np.exp(nats / count))


def test_prints_unit_window_and_protocol(model):
    text = str(px.perplexity(px.score(model, TEXTS, 20), "word"))
    assert "per word (22 words, rolling windows of 20 tokens)" in text


def test_longer_windows_know_more(model):
    text = TEXTS.head(1)
    short, long = (px.perplexity(px.score(model, text, w)).value for w in (2, 40))
    assert long < short


@needs("wikitext2")
def test_tokenised_wikipedia_is_harder_than_a_story(model):
    article = wikitext2.articles().sort_values("text", key=lambda t: t.str.len()).head(1)
    wiki, story = (px.perplexity(px.score(model, t)).value for t in (article, TEXTS.head(1)))
    assert wiki > 5 * story


def test_refusals(model):
    for window, protocol in ((1, "rolling"), (512, "rolling"), (513, "meade")):
        with pytest.raises(InvalidValueError, match="a window of 2 to"):
            px.score(model, TEXTS, window, protocol)
    with pytest.raises(InvalidValueError, match="rolling, meade"):
        px.score(model, TEXTS, protocol="strided")
    with pytest.raises(InvalidValueError, match="token, word, byte"):
        px.perplexity(px.score(model, TEXTS), "character")
