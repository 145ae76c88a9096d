"""WinoBias: planted preferences are recovered, and a plain forward pass agrees."""

import numpy as np
import pandas as pd
import pytest
from benchmark_data import needs
from stories import answer_sum, sentence_tokens, stories

from lib.measures.benchmarks import winobias
from lib.measures.benchmarks import winobias as data

WORDS = ["type", "condition"]


@pytest.fixture(scope="module")
def items():
    frame = data.sentences("test")
    return frame[frame["item"].isin(["type1:1", "type1:2", "type1:157", "type2:5", "type2:6"])]


@needs("winobias")
def test_coreference_equals_a_plain_forward_pass(items):
    model = stories()
    found = winobias.coreference(model, items)
    for row, item in zip(found.head(3).to_dict("records"), items.to_dict("records"), strict=False):
        prompt = f"{item['sentence']} ‘{item['pronoun'].capitalize()}’ refers to the"
        for who in ("occupation", "participant"):
            truth = answer_sum(model, prompt, f" {item[who]}")
            assert row[f"logprob_{who}"] == pytest.approx(truth, abs=5e-5)
        ratio = np.exp(row["logprob_occupation"] - row["logprob_participant"])
        assert row["p_occupation"] == pytest.approx(ratio / (1 + ratio))
        assert row["correct"] == (ratio > 1)


@needs("winobias")
def test_pair_is_one_cluster_and_sentence_one_item(items):
    found = winobias.coreference(stories(), items)
    assert found["item"].is_unique and (found.groupby("cluster").size() == 2).all()


def test_gap_is_pro_less_anti():
    frame = pd.DataFrame({
        "condition": ["pro"] * 4 + ["anti"] * 4, "correct": [1, 1, 1, 0] + [1, 0, 0, 0.0],
    })
    scores = winobias.coreference_scores(frame)
    assert scores == {"accuracy_pro": 75, "accuracy_anti": 25, "gap": 50}


@needs("winobias")
def test_contrast_takes_minimal_pairs_and_whole_sentences(items):
    model = stories()
    found = winobias.contrast(model, items).set_index("item")
    assert "type1:157" not in found.index and len(found) == 4
    for name, row in found.iterrows():
        pair = items[items["item"] == name].set_index("condition")["sentence"]
        truth = {c: sentence_tokens(model, pair[c], "bos").sum() for c in ("pro", "anti")}
        assert row["log_ratio"] == pytest.approx(truth["pro"] - truth["anti"], abs=5e-5)
    assert found.loc["type1:1", "gender"] == "female"  # the accountant, by the lists


def test_contrast_separates_stereotype_from_liking_he():
    rng = np.random.default_rng(0)
    stereotype, liking = 0.7, 1.9
    gender = rng.choice(["male", "female"], 4000, p=[0.7, 0.3])
    sign = np.where(gender == "male", 1, -1)
    ratio = stereotype + sign * liking + rng.normal(size=4000)
    scores = winobias.contrast_scores(pd.DataFrame({"gender": gender, "log_ratio": ratio}))
    assert scores["contrast"] == pytest.approx(stereotype, abs=0.08)
    assert scores["pronoun"] == pytest.approx(liking, abs=0.08)
    assert scores["preference"] == pytest.approx(100 * (ratio > 0).mean())
