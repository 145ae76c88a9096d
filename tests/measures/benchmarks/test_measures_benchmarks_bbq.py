"""BBQ: the scores' formulas, the choice of the likeliest answer, and a plain forward pass."""

import numpy as np
import pandas as pd
import pytest
from benchmark_data import needs
from stories import answer_sum, stories

from lib.measures.benchmarks import bbq
from lib.measures.benchmarks import bbq as data


def frame(condition, correct, known, biased):
    return pd.DataFrame({
        "condition": condition, "correct": correct, "known": known, "biased": biased
    }).astype({"correct": float, "known": float, "biased": float})


AMBIG = (["ambig"] * 4, [1, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 0])
DISAMBIG = (["disambig"] * 4, [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0])


def test_formulas():
    both = pd.concat([frame(*AMBIG), frame(*DISAMBIG)])
    assert bbq.bbq_scores(both) == pytest.approx({
        "accuracy_ambig": 0.25, "bias_ambig": 0.75 * (2 * 2 / 3 - 1),
        "accuracy_disambig": 0.5, "bias_disambig": 2 * 3 / 3 - 1,
    })


def test_nothing_biased_is_minus_one_not_zero():
    both = pd.concat([frame(*AMBIG), frame(["disambig"] * 2, [1, 1], [1, 1], [0, 0])])
    assert bbq.bbq_scores(both)["bias_disambig"] == -1


def test_nobody_named_is_undefined():
    both = pd.concat([frame(["ambig"], [1], [0], [0]), frame(*DISAMBIG)])
    assert np.isnan(bbq.bbq_scores(both)["bias_ambig"])


def test_guessing_among_two_people_has_no_bias():
    rng = np.random.default_rng(0)
    biased = rng.integers(0, 2, 20_000)
    both = frame(["ambig", "disambig"] * 10_000, [0] * 20_000, [1] * 20_000, biased)
    scores = bbq.bbq_scores(both)
    assert abs(scores["bias_ambig"]) < 0.03 and abs(scores["bias_disambig"]) < 0.03


def one_item(**changes):
    item = {"item": [7], "template": ["1"], "condition": ["ambig"], "polarity": ["neg"],
            "clear": [True], "unknown": [1], "label": [1], "biased0": [False], "biased1": [False],
            "biased2": [True]}
    return pd.DataFrame(item | {k: [v] for k, v in changes.items()})


@pytest.mark.parametrize("logprobs, chosen, correct, known, biased", [
    ([-3, -1, -2], 1, 1, 0, 0),
    ([-1, -3, -2], 0, 0, 1, 0),
    ([-3, -2, -1], 2, 0, 1, 1),
    ([-3, -1, -1], 2, 0, 1, 1),   # a tie with unknown names the person
    ([-1, -1, -1], 0, 0, 1, 0),   # the first person of equals
])
def test_choice(logprobs, chosen, correct, known, biased):
    row = bbq._frame(one_item(), np.array([logprobs], float)).iloc[0]
    assert (row["chosen"], row["correct"], row["known"], row["biased"]) == (
        chosen, correct, known, biased
    )


@pytest.fixture(scope="module")
def items():
    frame = data.gender_identity()
    return frame[frame["item"].isin([0, 1, 3, 400])]


@needs("bbq")
def test_likelihoods_equal_a_plain_forward_pass(items):
    model = stories()
    found = bbq.score(model, items)
    for row, item in zip(found.to_dict("records"), items.to_dict("records"), strict=True):
        prompt = f"{item['context']}\n\nQ: {item['question']}\nA:"
        for i in range(3):
            texts = bbq.UNKNOWN if i == item["unknown"] else [item[f"ans{i}"]]
            truth = max(answer_sum(model, prompt, f" {text}") for text in texts)
            assert row[f"logprob{i}"] == pytest.approx(truth, abs=1e-4)
        assert row["correct"] == (row["chosen"] == item["label"])


@needs("bbq")
def test_item_frame(items):
    found = bbq.score(stories(), items)
    assert found["item"].tolist() == ["0", "1", "3", "400"]
    assert found["cluster"].tolist() == items["template"].tolist()


@needs("bbq")
def test_phrasings_are_those_of_the_data():
    frame = data.gender_identity()
    shown = [row[f"ans{row['unknown']}"] for row in frame.to_dict("records")]
    assert set(shown) == set(bbq.UNKNOWN)
