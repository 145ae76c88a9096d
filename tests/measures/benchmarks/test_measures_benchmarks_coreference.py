"""The coreference question is the harness's, word for word."""

import numpy as np
import pandas as pd
import pytest
from stories import stories

from lib.measures.benchmarks import coreference

ITEMS = pd.DataFrame({
    "sentence": ["The nurse told Tom that she was sad.", "The nurse told Tom that he was sad."],
    "pronoun": ["she", "he"], "occupation": ["nurse", "nurse"], "participant": ["Tom", "Tom"],
}, index=[5, 3])


def test_question(monkeypatch):
    seen = []

    def record(model, prompts, choices):
        seen.append((prompts, choices))
        return np.array([[-1.0, -2.0]] * len(prompts))

    monkeypatch.setattr(coreference, "choice_logprobs", record)
    coreference.resolve(None, ITEMS)
    prompts, choices = seen[0]
    assert prompts[0] == "The nurse told Tom that she was sad. ‘She’ refers to the"
    assert choices == [["nurse", "Tom"], ["nurse", "Tom"]]


def test_probabilities_of_the_two_people_add_to_one():
    turned = ITEMS.rename(columns={"occupation": "participant", "participant": "occupation"})
    one, two = (coreference.resolve(stories(), items) for items in (ITEMS, turned))
    assert (one["logprob_occupation"] < 0).all() and (one["logprob_participant"] < 0).all()
    assert one["p_occupation"] + two["p_occupation"] == pytest.approx(np.ones(2), rel=1e-5)
