"""StereoSet: against a second, independent redistribution of the development split."""

import pandas as pd
import pytest
from benchmark_data import mirror, needs

from lib.measures.benchmarks import stereoset

pytestmark = needs("stereoset")
TEXTS = ["stereotype", "antistereotype", "unrelated"]


@pytest.fixture(scope="module")
def items():
    return stereoset.intrasentence()


def test_sizes_of_both_splits(items):
    assert items["split"].value_counts().to_dict() == {"test": 771, "dev": 255}
    assert items["item"].is_unique and set(items["domain"]) == {"gender"}
    assert items["target"].nunique() == 40
    assert items.groupby("split")["target"].nunique().to_dict() == {"dev": 10, "test": 30}


def test_development_texts_equal_those_of_another_copy(items):
    other = pd.read_csv(mirror() / "stereoset" / "dev_intrasentence_gender.csv")
    columns = ["Stereotype Sentence", "Anti-stereotype Sentence", "Unrelated Sentence", "Target"]
    theirs = sorted(map(tuple, other[columns].to_numpy()))
    ours = sorted(map(tuple, items.query("split == 'dev'")[[*TEXTS, "target"]].to_numpy()))
    assert ours == theirs


def test_sentences_differ_and_have_ids_of_their_own(items):
    assert (items[TEXTS].nunique(axis=1) == 3).all()
    ids = items[[f"{name}_id" for name in TEXTS]].to_numpy().ravel()
    assert len(set(ids)) == len(ids)


def test_items_of_a_term_are_never_in_both_splits(items):
    assert (items.groupby("target")["split"].nunique() == 1).all()


def test_scores_cover_all_domains_of_the_split(items):
    for task, sentences in (("intrasentence", 6318), ("intersentence", 6369)):
        scores = stereoset.published_scores(task)
        assert len(scores) == sentences and scores.index.is_unique and scores.notna().all()
    assert stereoset.published_scores().between(0, 1).all()


def test_scores_go_to_the_sentences_they_belong_to(items):
    scores = stereoset.published_scores()
    scored = stereoset.with_scores(items, scores)
    assert len(scored) == 255 and set(scored["split"]) == {"dev"}
    row = scored.iloc[17]
    for name in TEXTS:
        assert row[name] == scores[row[f"{name}_id"]]


def test_items_without_all_scores_are_left_out(items):
    lost = items.query("split == 'dev'")["unrelated_id"].iloc[0]
    scored = stereoset.with_scores(items, stereoset.published_scores().drop(lost))
    assert len(scored) == 254 and lost not in set(scored["unrelated_id"])
