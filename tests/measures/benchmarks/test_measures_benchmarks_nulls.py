"""Null models: published digits, closed forms, and ties broken by a real coin."""

import itertools

import numpy as np
import pandas as pd
import pytest
from benchmark_data import needs
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import InvalidValueError
from lib.measures.benchmarks import crows_pairs, nulls, stereoset
from lib.measures.benchmarks.crows_pairs import crows_pairs_score
from lib.measures.benchmarks.stereoset import stereoset_scores

SENTENCES = ["stereotype", "antistereotype", "unrelated"]
SPLITS = {"dev": 255, "all": 1026, "test": 771}


def split(frame, name):
    rows = frame if name == "all" else frame[frame["split"] == name]
    assert len(rows) == SPLITS[name]
    return rows


@pytest.fixture(scope="module")
def unigram():
    return nulls.score(stereoset.intrasentence(), nulls.Unigram.of_wikitext2())


@pytest.fixture(scope="module")
def shorter():
    return nulls.score(stereoset.intrasentence(), nulls.shorter)


# Digits of an earlier computation with other code. Its SS halves ties, its LMS counts them as lost.
@needs("stereoset", "wikitext2")
@pytest.mark.parametrize("name, ss, lms", [
    ("dev", 51.73, 43.1), ("all", 54.15, 41.7), ("test", 54.96, 41.3),
])
def test_digits_of_word_frequencies(unigram, name, ss, lms):
    rows = split(unigram, name)
    assert nulls.broken_ties(rows)["SS"] == pytest.approx(ss, abs=0.005)
    assert stereoset_scores(rows)["LMS"] == pytest.approx(lms, abs=0.05)


@needs("stereoset")
@pytest.mark.parametrize("name, ss", [("dev", 53.69), ("all", 52.27), ("test", 51.80)])
def test_digits_of_the_shorter_sentence(shorter, name, ss):
    assert nulls.broken_ties(split(shorter, name))["SS"] == pytest.approx(ss, abs=0.005)


@needs("stereoset", "wikitext2")
def test_a_null_ties_so_often_that_the_rule_for_ties_decides(unigram):
    tied = unigram["stereotype"] == unigram["antistereotype"]
    assert 0.13 < tied.mean() < 0.14
    assert stereoset_scores(unigram)["SS"] < 48 < 54 < nulls.broken_ties(unigram)["SS"]


def frame(*rows):
    return pd.DataFrame(rows, columns=["target", *SENTENCES])


TEXT = ["The cat saw the dog.", "A dog"]  # the 2, cat 1, saw 1, dog 2, a 1: N = 7, V = 5


@pytest.mark.parametrize("sentence, counts", [
    ("The dog", [2, 2]), ("cat, CAT!", [1, 1]), ("the unicorn", [2, 0]), ("", []),
])
def test_probabilities_of_words_with_half_an_occurrence_more(sentence, counts):
    found = nulls.Unigram.of(TEXT)([sentence])
    assert found == pytest.approx(sum(np.log((n + 0.5) / 9.5) for n in counts))


def test_known_words_share_all_probability():
    vocabulary = ["the", "cat", "saw", "dog", "a"]
    assert np.exp(nulls.Unigram.of(TEXT)(vocabulary)).sum() == pytest.approx(1)


def test_order_of_words_makes_no_difference_at_all():
    model = nulls.Unigram.of(TEXT)
    orders = {" ".join(order) for order in itertools.permutations("the cat saw an owl".split())}
    assert len(set(model(sorted(orders)))) == 1


def test_shorter():
    assert nulls.shorter(["ab", "", "abc"]).tolist() == [-2, 0, -3]


def test_random_repeats_with_its_seed_and_knows_nothing():
    texts = ["same"] * 30_000
    one, other = nulls.Random(0)(texts), nulls.Random(1)(texts)
    assert (one == nulls.Random(0)(texts)).all() and (one != other).mean() > 0.999
    scores = pd.DataFrame(one.reshape(-1, 3), columns=SENTENCES).assign(target="t")
    assert nulls.broken_ties(scores) == pytest.approx({"LMS": 50, "SS": 50, "ICAT": 50}, abs=1.5)


def test_scores_replace_sentences_where_they_stood():
    items = pd.DataFrame({"unrelated": ["abc", "abcd"], "target": ["x", "y"], "item": [7, 8],
                          "stereotype": ["a", ""], "antistereotype": ["ab", "abcde"]})
    found = nulls.score(items.assign(stereotype=["a", "abcdef"]), nulls.shorter)
    assert found[SENTENCES].to_numpy().tolist() == [[-1, -2, -3], [-6, -5, -4]]
    assert found[["target", "item"]].equals(items[["target", "item"]])


@needs("crows_pairs", "wikitext2")
def test_pairs_have_nulls_too():
    pairs = crows_pairs.pairs("gender")
    found = nulls.score(pairs, nulls.shorter)
    more, less = (pairs[name].str.len() for name in ("sent_more", "sent_less"))
    half = 100 * ((more < less).mean() + 0.5 * (more == less).mean())
    assert crows_pairs_score(found, ties="half") == pytest.approx(half)
    words = nulls.score(pairs, nulls.Unigram.of_wikitext2())
    assert 45 < crows_pairs_score(words, ties="half") < 55


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), *[st.integers(0, 2)] * 3), min_size=1))
def test_broken_ties_are_the_mean_over_coins(rows):
    """Noise too small to matter otherwise is a coin for each tie."""
    scores, draws = frame(*rows), 400
    many = pd.concat([scores] * draws, ignore_index=True)
    many[SENTENCES] = many[SENTENCES] + 0.1 * np.random.default_rng(0).random((len(many), 3))
    found, expected = stereoset_scores(many), nulls.broken_ties(scores)
    # 50 points is the error of one coin; four times that of the mean of 400.
    assert (found["LMS"], found["SS"]) == pytest.approx((expected["LMS"], expected["SS"]), abs=10)
    low = min(expected["SS"], 100 - expected["SS"])
    assert expected["ICAT"] == pytest.approx(expected["LMS"] * low / 50)


def test_no_difference_between_sentences_is_fifty():
    assert nulls.broken_ties(frame(("t", 1, 1, 1))) == {"LMS": 50, "SS": 50, "ICAT": 50}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.permutations([0, 1, 2])), min_size=1))
def test_without_ties_the_published_scores(rows):
    scores = frame(*[(target, *ranks) for target, ranks in rows])
    assert nulls.broken_ties(scores) == pytest.approx(stereoset_scores(scores))


def test_refusals():
    with pytest.raises(InvalidValueError, match="none"):
        nulls.Unigram.of(["...", ""])
    with pytest.raises(InvalidValueError, match="no column sent_more"):
        nulls.score(pd.DataFrame({"text": ["a"]}), nulls.shorter)
    with pytest.raises(InvalidValueError, match="an empty one"):
        nulls.broken_ties(frame())
