"""WinoBias: pairs and labels as the authors' files have them, and a plain forward pass."""

import re

import numpy as np
import pandas as pd
import pytest
from benchmark_data import mirror, needs
from stories import answer_sum, stories

from lib.measures.benchmarks import winobias
from lib.measures.benchmarks.paired import exact


@pytest.fixture(scope="module")
def items():
    return winobias.sentences()


@pytest.fixture(scope="module")
def few(items):
    return items[items["item"].isin(["type1:1", "type1:2", "type2:5"])]


@needs("winobias")
def test_coreference_equals_a_plain_forward_pass(few):
    model = stories()
    found = winobias.score(model, few)
    for row, item in zip(found.head(3).to_dict("records"), few.to_dict("records"), strict=False):
        prompt = f"{item['sentence']} ‘{item['pronoun'].capitalize()}’ refers to the"
        for who in ("occupation", "participant"):
            truth = answer_sum(model, prompt, f" {item[who]}")
            assert row[f"logprob_{who}"] == pytest.approx(truth, rel=1e-5)
        ratio = np.exp(row["logprob_occupation"] - row["logprob_participant"])
        assert row["p_occupation"] == pytest.approx(ratio / (1 + ratio))
        assert row["correct"] == (ratio > 1)


@needs("winobias")
def test_pair_is_one_cluster_and_sentence_one_item(few):
    found = winobias.score(stories(), few)
    assert found["item"].is_unique and (found.groupby("cluster").size() == 2).all()


def test_gap_is_pro_less_anti():
    frame = pd.DataFrame({
        "condition": ["pro"] * 4 + ["anti"] * 4, "correct": [1, 1, 1, 0] + [1, 0, 0, 0.0],
        "cluster": [*range(4)] * 2,
    })
    found = exact(winobias.parts(frame), winobias.metrics)
    assert found == {"accuracy_pro": 75, "accuracy_anti": 25, "gap": 50}


@needs("winobias")
def test_sizes(items):
    assert len(items) == 1584
    assert (items.groupby(["type", "condition"]).size() == 396).all()
    assert (items.groupby("item")["condition"].agg(set) == {"pro", "anti"}).all()


@needs("winobias")
def test_sentences_are_the_lines_without_number_and_brackets(items):
    lines = (mirror() / "winobias" / "anti_stereotyped_type2.txt.test").read_text().splitlines()
    ours = items.query("type == 2 and condition == 'anti'")
    plain = [re.sub(r"^\d+ ", "", line).replace("[", "").replace("]", "") for line in lines]
    assert ours["sentence"].tolist() == plain


@needs("winobias")
def test_both_people_and_the_pronoun_are_in_the_sentence(items):
    for row in items.itertuples():
        for word in (row.occupation, row.participant, row.pronoun):
            assert re.search(rf"\b{word}\b", row.sentence), row
    assert (items["occupation"].str.lower() != items["participant"].str.lower()).all()
    assert not items["sentence"].str.contains(r"[\[\]]|the  ").any()


@needs("winobias")
def test_pronoun_follows_the_stereotype_of_the_occupation_exactly_in_pro(items):
    stereotype = items["occupation"].str.lower().map(winobias.occupations())
    follows = items["gender"] == stereotype
    # The authors' own files break the rule for a few lines; none of ours may add to it.
    wrong = follows != (items["condition"] == "pro")
    assert wrong.mean() < 0.01


@needs("winobias")
def test_pair_names_the_same_people_by_pronouns_of_two_genders(items):
    pairs = items.groupby("item")
    same = (pairs["occupation"].nunique() == 1) & (pairs["gender"].nunique() == 2)
    assert (~same).sum() <= 10  # slips of the authors


@needs("winobias")
def test_occupations_are_balanced():
    assert winobias.occupations().value_counts().to_dict() == {"male": 20, "female": 20}
