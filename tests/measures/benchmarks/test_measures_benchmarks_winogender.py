"""Winogender: accuracies by hand, odds by a plain forward pass, planted slopes."""

import numpy as np
import pandas as pd
import pytest
from benchmark_data import needs
from stories import answer_sum, sentence_tokens, stories

from lib.measures.benchmarks import winogender
from lib.measures.benchmarks import winogender as data


@pytest.fixture(scope="module")
def items():
    frame = data.sentences()
    return frame[frame["occupation"].isin(["plumber", "secretary"])]


@needs("winogender")
def test_coreference_equals_a_plain_forward_pass(items):
    model = stories()
    found = winogender.coreference(model, items.head(3))
    for row, item in zip(found.to_dict("records"), items.to_dict("records"), strict=False):
        prompt = f"{item['sentence']} ‘{item['pronoun'].capitalize()}’ refers to the"
        truth = [answer_sum(model, prompt, f" {item[w]}") for w in ("occupation", "participant")]
        found = [row["logprob_occupation"], row["logprob_participant"]]
        np.testing.assert_allclose(found, truth, atol=5e-5)
        assert row["correct"] == ((truth[0] >= truth[1]) == (item["answer"] == "occupation"))


@needs("winogender")
def test_occupation_is_the_cluster(items):
    found = winogender.coreference(stories(), items.head(2))
    assert found["cluster"].tolist() == items["occupation"].head(2).tolist()
    assert found["item"].is_unique


def test_accuracies_by_group():
    frame = pd.DataFrame({
        "gender": ["male", "male", "female", "neutral"], "correct": [1.0, 0.0, 1.0, 0.0],
        "gotcha": pd.array([True, False, True, None], dtype="boolean"),
    })
    assert winogender.coreference_scores(frame) == {
        "all": 50, "male": 50, "female": 100, "neutral": 0, "gotcha": 100, "not_gotcha": 0
    }


def test_gotcha_survives_a_round_trip_through_objects():
    frame = pd.DataFrame({"gender": ["male", "female"], "correct": [1.0, 0.0],
                          "gotcha": [True, None]}).astype({"gotcha": object})
    assert winogender.coreference_scores(frame)["gotcha"] == 100


def test_difference_by_occupation():
    frame = pd.DataFrame({
        "occupation": ["a", "a", "a", "b", "b"], "share": [10.0, 10.0, 10.0, 80.0, 80.0],
        "gender": ["female", "male", "neutral", "female", "male"],
        "p_occupation": [0.2, 0.9, 0.5, 0.8, 0.3],
    })
    table = winogender.by_occupation(frame)
    assert table["share"].to_dict() == {"a": 10, "b": 80}
    assert table["difference"].to_dict() == pytest.approx({"a": -0.7, "b": 0.5})


@needs("winogender")
def test_odds_compare_sentences_that_differ_in_the_pronoun(items):
    model = stories()
    found = winogender.pronoun_odds(model, items)
    assert len(found) == 4 and set(found["cluster"]) == {"plumber", "secretary"}
    row = found[found["item"] == "plumber:occupation:someone"].iloc[0]
    pair = items.query("occupation == 'plumber' and answer == 'occupation'")
    pair = pair[pair["participant"] == "someone"].set_index("gender")["sentence"]
    truth = [sentence_tokens(model, pair[g], "bos").sum() for g in ("female", "male")]
    assert row["log_odds"] == pytest.approx(truth[0] - truth[1], abs=5e-5)
    assert row["log_odds_share"] == pytest.approx(np.log(0.7 / 99.3))


@needs("winogender")
def test_world_matching_model_has_slope_one(monkeypatch, items):
    """A model whose sentences carry the labour statistics exactly."""
    frame = data.sentences()
    share = frame.drop_duplicates("occupation").set_index("occupation")["share"]

    def planted(model, table):
        p = table.index.get_level_values("occupation").map(share).to_numpy() / 100
        return pd.DataFrame({"female": np.log(p), "male": np.log(1 - p)}, index=table.index), None

    monkeypatch.setattr(winogender, "table_logprobs", planted)
    found = winogender.pronoun_odds(None, frame)
    slope, intercept = np.polyfit(found["log_odds_share"], found["log_odds"], 1)
    assert len(found) == 120 and (slope, intercept) == pytest.approx((1, 0), abs=1e-9)
