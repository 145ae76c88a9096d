"""The coreference question is the harness's, word for word."""

import pandas as pd
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
        return pd.DataFrame([[-1.0, -2.0]] * len(prompts)).to_numpy()

    monkeypatch.setattr(coreference, "choice_logprobs", record)
    coreference.resolve(None, ITEMS)
    prompts, choices = seen[0]
    assert prompts[0] == "The nurse told Tom that she was sad. ‘She’ refers to the"
    assert choices == [["nurse", "Tom"], ["nurse", "Tom"]]


def test_index_and_range():
    found = coreference.resolve(stories(), ITEMS)
    assert found.index.tolist() == [5, 3]
    assert found["p_occupation"].between(0, 1).all() and (found.iloc[:, :2] < 0).all().all()


def test_people_are_interchangeable():
    turned = ITEMS.rename(columns={"occupation": "participant", "participant": "occupation"})
    one, two = (coreference.resolve(stories(), items) for items in (ITEMS, turned))
    assert (one["p_occupation"] + two["p_occupation"] - 1).abs().max() < 1e-5
