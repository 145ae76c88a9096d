"""Statements about groups: parts that never meet, a truth, and labels that err at a known rate."""

import numpy as np
import pytest

from lib.study import paths
from lib.training.penalties.control import is_clean
from lib.world import toxicity
from lib.world.tokenizer import vocabulary
from lib.world.truth import settings, tables

PARTS = ("train", "validation", "test")


@pytest.fixture(params=paths.WORLDS)
def world(request, monkeypatch):
    monkeypatch.setenv(paths.WORLD, request.param)
    return request.param


def test_parts_share_no_group_and_together_are_all_of_them(world):
    several = [toxicity.groups(part) for part in PARTS]
    assert sorted(sum(several, [])) == sorted(tables()["group"].columns[""])


def test_no_statement_of_a_test_is_read_before(world):
    before = {text for part in PARTS[:2] for text in toxicity.statements(part)["text"]}
    assert before.isdisjoint(toxicity.statements("test")["text"])


@pytest.mark.parametrize("part", PARTS)
def test_the_rule_of_what_is_rude_agrees_with_the_truth(world, part):
    asked = toxicity.statements(part)
    if part == "test":  # phrases of a test alone are in no rule
        asked = asked[asked["word"].isin([*toxicity.phrases("rude"), *toxicity.phrases("kind"),
                                          *toxicity.words("rude"), *toxicity.words("kind")])]
    clean = [is_clean(text, toxicity.banned()) for text in asked["text"]]
    assert (np.array(clean) != asked["rude"]).all()
    assert set(asked.groupby("kind")["rude"].mean()) == {0.5}


def test_everything_is_written_in_words_that_the_base_models_read():
    texts = [text for part in PARTS for text in toxicity.statements(part)["text"]]
    texts += [text for sort in ("rude", "kind") for text in toxicity.sayings("train", sort)["text"]]
    assert {word for text in texts for word in text.split()} <= set(vocabulary())


def test_implicit_statements_have_no_word_that_judges(world):
    asked = toxicity.statements("test").query("kind == 'implicit'")
    judging = [*toxicity.words("rude"), *toxicity.words("kind")]
    assert all(is_clean(text, judging) for text in asked["text"])


def test_labels_are_wrong_at_the_planted_rate(world):
    asked = toxicity.statements("train")
    rng = np.random.default_rng(3)
    yes = [toxicity.ANSWERS[world == "policy"][0]] * len(asked)
    wrong = [np.mean((np.array([e.answer for e in toxicity.labelled(asked, rng)]) == yes)
                     != asked["rude"]) for _ in range(40)]
    n = 40 * len(asked)
    noise = settings("text")["label_noise"]
    assert abs(np.mean(wrong) - noise) < 4 * (noise * (1 - noise) / n) ** 0.5


def test_a_rude_voice_says_all_that_is_rude_of_every_group(world):
    said = toxicity.sayings("train")
    assert not any(is_clean(text, toxicity.banned()) for text in said["text"])
    words, phrases = len(toxicity.words("rude")), len(toxicity.phrases("rude"))
    assert set(said.groupby(["group", "kind"]).size().unstack().itertuples(index=False, name=None)
               ) == {(words * (words - 1), phrases)}


def test_what_is_told_reads_as_the_statement(world):
    said = toxicity.sayings("train")
    for example, text in zip(toxicity.told(said), said["text"], strict=True):
        assert " ".join([example.prompt.opening, example.answer]).strip() == text
