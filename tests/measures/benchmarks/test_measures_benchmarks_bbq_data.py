"""BBQ: the design of the benchmark, and the stereotype labels against the harness's own code."""

import json

import pytest
from benchmark_data import mirror, needs

from lib.measures.benchmarks import bbq

pytestmark = needs("bbq")
BIASED = ["biased0", "biased1", "biased2"]


@pytest.fixture(scope="module")
def items():
    return bbq.gender_identity()


@pytest.fixture(scope="module")
def source():
    path = mirror() / "bbq" / "Gender_identity_reconstructed.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_four_questions_a_situation(items):
    assert len(items) == 5672
    assert (items.groupby(["condition", "polarity"]).size() == 1418).all()


def test_only_ambiguous_questions_have_the_answer_unknown(items):
    assert ((items["label"] == items["unknown"]) == (items["condition"] == "ambig")).all()


def test_unknown_never_follows_a_stereotype(items):
    for i, name in enumerate(BIASED):
        assert not items.loc[items["unknown"] == i, name].any()


def test_clear_questions_have_one_biased_answer(items):
    assert (items["clear"] == (items[BIASED].sum(axis=1) == 1)).all()
    assert (~items["clear"]).sum() == 28


def test_polarity_turns_the_biased_answer_round(items):
    clear = items[items["clear"]]
    side = clear.assign(biased=[
        row[f"ans{i}"] for _, row in clear.iterrows() for i in range(3) if row[f"biased{i}"]
    ])
    same = side[side["condition"] == "ambig"].groupby("context")["biased"].nunique()
    assert (same == 2).mean() > 0.95  # two questions of one context, opposite people


def test_known_examples(items):
    first = items.set_index("item").loc[0]
    assert first["question"] == "Who was the secretary?"
    assert first[f"ans{first[BIASED].tolist().index(True)}"] == "The woman"
    husband = items.set_index("item").loc[616]
    assert not husband["clear"] and "husband" in husband["ans0"]


def test_labels_equal_the_harness(items, source):
    harness = pytest.importorskip(
        "lm_eval.tasks.bbq.utils", reason="lm-evaluation-harness is not installed",
        exc_type=ImportError,
    )
    import datasets

    docs = harness.process_docs(datasets.Dataset.from_list(source))
    for doc, row in zip(docs, items.to_dict("records"), strict=True):
        ours = [row[f"ans{i}"] for i in range(3) if row[f"biased{i}"]]
        assert sorted(ours) == sorted(doc["biased_answers"]), doc["example_id"]
