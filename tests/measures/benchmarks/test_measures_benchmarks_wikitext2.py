"""WikiText-2: known sizes, nothing lost in cutting, windows written out by hand, units."""

import re

import numpy as np
import pandas as pd
import pytest
from benchmark_data import mirror, needs
from stories import stories, token_logprobs

from lib.errors import InvalidValueError
from lib.measures.benchmarks import wikitext2
from lib.measures.benchmarks.paired import exact

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


def perplexities(found):
    return exact(wikitext2.parts(found), wikitext2.metrics)


@pytest.mark.parametrize("window", [6, 29])
def test_windows(model, window):
    found = wikitext2.score(model, TEXTS, window)
    ids = [ids_of(model, text) for text in TEXTS["text"]]
    np.testing.assert_allclose(found["nll"], [rolling(model, i, window) for i in ids], rtol=1e-5)
    assert found["tokens"].tolist() == [len(i) for i in ids]


def test_whole_text_in_one_window_is_its_likelihood(model):
    found = wikitext2.score(model, TEXTS)
    assert found["window"].tolist() == [511, 511]  # the context of 512 less the token before
    ids = ids_of(model, TEXTS["text"][0])
    truth = -token_logprobs(model, [model.tokenizer.bos_token_id, *ids]).sum()
    assert found["nll"][0] == pytest.approx(truth, rel=1e-5)


def test_units(model):
    found = wikitext2.score(model, TEXTS)
    assert found["words"].tolist() == [19, 3] and found["bytes"].tolist() == [81, 11]
    nats, counts = found["nll"].sum(), (found["tokens"].sum(), 22, 92)
    assert perplexities(found) == pytest.approx({
        f"perplexity_{unit}": np.exp(nats / count)
        for unit, count in zip(("token", "word", "byte"), counts, strict=True)
    })


def test_longer_windows_know_more(model):
    short, long = (perplexities(wikitext2.score(model, TEXTS.head(1), w)) for w in (2, 40))
    assert long["perplexity_token"] < short["perplexity_token"]


def test_refusals(model):
    with pytest.raises(InvalidValueError, match="a window of 2"):
        wikitext2.score(model, TEXTS, 1)


@pytest.fixture(scope="module")
def articles():
    return wikitext2.articles()


@needs("wikitext2")
def test_tokenised_wikipedia_is_harder_than_a_story(model, articles):
    article = articles.sort_values("text", key=lambda t: t.str.len()).head(1)
    wiki, story = (perplexities(wikitext2.score(model, t)) for t in (article, TEXTS.head(1)))
    assert wiki["perplexity_token"] > 5 * story["perplexity_token"]


@needs("wikitext2")
def test_articles_join_to_the_file_of_the_published_size(articles):
    text = "".join(articles["text"])
    assert text.encode() == (mirror() / "wikitext2" / "test.txt").read_bytes()
    # Merity et al. (2017), table 1: 60 articles; 245,569 tokens, one end of line a line included.
    assert len(articles) == 60 and len(re.findall(r"\S+|\n", text)) == 245_569
    assert articles["item"].is_unique and articles["title"].map(bool).all()


@needs("wikitext2")
def test_each_article_begins_with_its_own_title_only(articles):
    for row in articles.itertuples():
        lines = [line for line in row.text.splitlines() if line.strip()]
        assert lines[0].strip() == f"= {row.title} ="
