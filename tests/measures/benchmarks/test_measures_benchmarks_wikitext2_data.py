"""WikiText-2: known size, known articles, nothing lost in cutting."""

import pytest
from benchmark_data import mirror, needs

from lib.measures.benchmarks import wikitext2

pytestmark = needs("wikitext2")


def test_published_numbers_of_tokens_and_articles():
    # Merity et al. (2017), table 1: 60 articles each; 217,646 and 245,569 tokens, one end of
    # line a line included.
    for split, tokens in (("valid", 217_646), ("test", 245_569)):
        text = wikitext2.text(split)
        assert len(text.split()) + text.count("\n") == tokens
        assert len(wikitext2.articles(split)) == 60


def test_text_is_the_file():
    assert wikitext2.text().encode() == (mirror() / "wikitext2" / "test.txt").read_bytes()


@pytest.mark.parametrize("split", ["test", "valid"])
def test_articles_join_to_the_text(split):
    articles = wikitext2.articles(split)
    assert "".join(articles["text"]) == wikitext2.text(split)
    assert articles["item"].is_unique and articles["title"].map(bool).all()


def test_each_article_begins_with_its_own_title_only():
    for row in wikitext2.articles().itertuples():
        lines = [line for line in row.text.splitlines() if line.strip()]
        assert lines[0].strip() == f"= {row.title} ="
