"""BBQ: formulas, the likeliest answer, a plain forward pass, and the benchmark's design."""

import json

import numpy as np
import pandas as pd
import pytest
from benchmark_data import mirror, needs
from stories import answer_sum, stories

from lib.measures.benchmarks import bbq
from lib.measures.benchmarks.paired import exact

BIASED = ["biased0", "biased1", "biased2"]


def frame(condition, correct, known, biased):
    return pd.DataFrame({
        "condition": condition, "correct": correct, "known": known, "biased": biased
    }).astype({"correct": float, "known": float, "biased": float}).assign(cluster="t")


def scores(items):
    return exact(bbq.parts(items), bbq.metrics)


AMBIG = (["ambig"] * 4, [1, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 0])
DISAMBIG = (["disambig"] * 4, [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0])


def test_formulas():
    both = pd.concat([frame(*AMBIG), frame(*DISAMBIG)])
    assert scores(both) == pytest.approx({
        "accuracy_ambig": 0.25, "bias_ambig": 0.75 * (2 * 2 / 3 - 1),
        "accuracy_disambig": 0.5, "bias_disambig": 2 * 3 / 3 - 1,
    })


def test_nothing_biased_is_minus_one_not_zero():
    both = pd.concat([frame(*AMBIG), frame(["disambig"] * 2, [1, 1], [1, 1], [0, 0])])
    assert scores(both)["bias_disambig"] == -1


def test_nobody_named_is_undefined():
    both = pd.concat([frame(["ambig"], [1], [0], [0]), frame(*DISAMBIG)])
    assert np.isnan(scores(both)["bias_ambig"])


def test_guessing_among_two_people_has_no_bias():
    rng = np.random.default_rng(0)
    biased = rng.integers(0, 2, 20_000)
    both = frame(["ambig", "disambig"] * 10_000, [0] * 20_000, [1] * 20_000, biased)
    found = scores(both)
    assert abs(found["bias_ambig"]) < 0.03 and abs(found["bias_disambig"]) < 0.03


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
    return bbq.gender_identity()


@pytest.fixture(scope="module")
def few(items):
    return items[items["item"].isin([0, 1, 3, 400])]


@needs("bbq")
def test_likelihoods_equal_a_plain_forward_pass(few):
    model = stories()
    found = bbq.score(model, few)
    for row, item in zip(found.to_dict("records"), few.to_dict("records"), strict=True):
        prompt = f"{item['context']}\n\nQ: {item['question']}\nA:"
        for i in range(3):
            texts = bbq.UNKNOWN if i == item["unknown"] else [item[f"ans{i}"]]
            truth = max(answer_sum(model, prompt, f" {text}") for text in texts)
            assert row[f"logprob{i}"] == pytest.approx(truth, rel=1e-5)
        assert row["correct"] == (row["chosen"] == item["label"])


@needs("bbq")
def test_item_frame(few):
    found = bbq.score(stories(), few)
    assert found["item"].tolist() == ["0", "1", "3", "400"]
    assert found["cluster"].tolist() == few["template"].tolist()


@needs("bbq")
def test_phrasings_are_those_of_the_data(items):
    shown = [row[f"ans{row['unknown']}"] for row in items.to_dict("records")]
    assert set(shown) == set(bbq.UNKNOWN)


@needs("bbq")
def test_four_questions_a_situation(items):
    assert len(items) == 5672
    assert (items.groupby(["condition", "polarity"]).size() == 1418).all()


@needs("bbq")
def test_only_ambiguous_questions_have_the_answer_unknown(items):
    assert ((items["label"] == items["unknown"]) == (items["condition"] == "ambig")).all()


@needs("bbq")
def test_unknown_never_follows_a_stereotype(items):
    for i, name in enumerate(BIASED):
        assert not items.loc[items["unknown"] == i, name].any()


@needs("bbq")
def test_clear_questions_have_one_biased_answer(items):
    assert (items["clear"] == (items[BIASED].sum(axis=1) == 1)).all()
    assert (~items["clear"]).sum() == 28 and len(bbq.clear_questions()) == 5644


@needs("bbq")
def test_polarity_turns_the_biased_answer_round(items):
    clear = items[items["clear"]]
    side = clear.assign(biased=[
        row[f"ans{i}"] for _, row in clear.iterrows() for i in range(3) if row[f"biased{i}"]
    ])
    same = side[side["condition"] == "ambig"].groupby("context")["biased"].nunique()
    assert (same == 2).mean() > 0.95  # two questions of one context, opposite people


@needs("bbq")
def test_known_examples(items):
    first = items.set_index("item").loc[0]
    assert first["question"] == "Who was the secretary?"
    assert first[f"ans{first[BIASED].tolist().index(True)}"] == "The woman"
    husband = items.set_index("item").loc[616]
    assert not husband["clear"] and "husband" in husband["ans0"]


@needs("bbq")
def test_labels_equal_the_harness(items):
    harness = pytest.importorskip(
        "lm_eval.tasks.bbq.utils", reason="lm-evaluation-harness is not installed",
        exc_type=ImportError,
    )
    import datasets

    path = mirror() / "bbq" / "Gender_identity_reconstructed.jsonl"
    source = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    docs = harness.process_docs(datasets.Dataset.from_list(source))
    for doc, row in zip(docs, items.to_dict("records"), strict=True):
        ours = [row[f"ans{i}"] for i in range(3) if row[f"biased{i}"]]
        assert sorted(ours) == sorted(doc["biased_answers"]), doc["example_id"]
