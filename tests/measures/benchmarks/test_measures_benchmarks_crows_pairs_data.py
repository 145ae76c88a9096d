"""CrowS-Pairs: sizes as published, texts as the csv module reads them."""

import csv

import pytest
from benchmark_data import mirror, needs

from lib.measures.benchmarks import crows_pairs

pytestmark = needs("crows_pairs", "pikuliak2023")


def test_published_sizes():
    pairs = crows_pairs.pairs()
    assert len(pairs) == 1508 and pairs["bias_type"].nunique() == 9 and pairs["item"].is_unique
    gender = crows_pairs.pairs("gender")
    assert gender["direction"].value_counts().to_dict() == {"stereo": 159, "antistereo": 103}


def test_texts_are_those_of_the_file():
    path = mirror() / "crows_pairs" / "crows_pairs_anonymized.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["bias_type"] == "gender"]
    pairs = crows_pairs.pairs("gender")
    for name, source in (("sent_more", "sent_more"), ("sent_less", "sent_less"),
                         ("direction", "stereo_antistereo")):
        assert pairs[name].tolist() == [row[source] for row in rows]
    assert pairs["item"].tolist() == [int(row[""]) for row in rows]


def test_revision_is_another_set():
    revised, original = crows_pairs.revised_pairs("gender"), crows_pairs.pairs("gender")
    assert len(revised) == 250 and len(crows_pairs.revised_pairs()) == 1467
    assert revised["item"].is_unique
    assert 0 < len(set(revised["sent_more"]) & set(original["sent_more"])) < 250


def test_unknown_type_is_an_empty_frame_with_the_columns():
    assert list(crows_pairs.pairs("none").columns) == crows_pairs.COLUMNS


@pytest.mark.parametrize("load", [crows_pairs.pairs, crows_pairs.revised_pairs])
def test_pairs_are_two_different_sentences(load):
    pairs = load()
    assert (pairs["sent_more"] != pairs["sent_less"]).all()
    assert pairs[["sent_more", "sent_less"]].map(str.strip).map(bool).all().all()
