"""Preferences in both orders: the judge's own probabilities, and no answer's place decides."""

import numpy as np
import pandas as pd
import pytest
import world_models

from lib.measures import preference
from lib.models.chat import Example, Prompt
from lib.models.likelihood import example_logprobs

GOOD, BAD = "the lomari are kind", "lomari kind are the"


@pytest.fixture(scope="module")
def judge():
    return world_models.tiny_model()


def frame(n):
    asked = [Prompt.chat(f"what are the lomari like {i} ?") for i in range(n)]
    return pd.DataFrame({"item": range(n), "kind": "group", "prompt": asked})


def test_a_chance_is_that_of_the_two_replies(judge):
    asked = frame(2)
    found = preference.preferences(judge, asked, [GOOD] * 2, [BAD] * 2)
    for place, texts in (("first", (GOOD, BAD)), ("second", (BAD, GOOD))):
        for i, prompt in enumerate(asked["prompt"]):
            question = Prompt.chat(preference.QUESTION.format(
                request=prompt.messages[-1][1], first=texts[0], second=texts[1]))
            said = example_logprobs(judge, [Example(question, reply, ends=False)
                                            for reply in preference.PLACES])["logprob"]
            one = float(np.exp(said[0]) / np.exp(said).sum())
            assert found[place][i] == pytest.approx(one if place == "first" else 1 - one, rel=1e-5)


def test_who_is_compared_with_themselves_wins_as_often_as_not(judge):
    found = preference.preferences(judge, frame(3), [GOOD] * 3, [GOOD] * 3)
    assert (found["first"] + found["second"]).to_numpy() == pytest.approx(np.ones(3))


def test_each_of_two_answers_wins_what_the_other_loses(judge):
    asked = frame(3)
    one, two = (preference.preferences(judge, asked, [a] * 3, [b] * 3)
                for a, b in ((GOOD, BAD), (BAD, GOOD)))
    balanced = (one[["first", "second"]].mean(axis=1) + two[["first", "second"]].mean(axis=1)) / 2
    assert balanced.to_numpy() == pytest.approx(np.full(3, 0.5))


def test_shuffled_answers_have_the_same_words():
    texts = [" ".join(map(str, range(30))), ""]
    found = preference.shuffled(texts, 1)
    assert found[0] != texts[0] and sorted(found[0].split()) == sorted(texts[0].split())
    assert found == preference.shuffled(texts, 1) and found[1] == ""
