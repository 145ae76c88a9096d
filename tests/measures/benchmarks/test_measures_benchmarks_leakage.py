"""Leakage: the published counts, recomputed from the raw files, and toy texts."""

import csv
import re

import pytest
from benchmark_data import mirror, needs

from lib.measures.benchmarks import leakage

needs_data = needs("gira2022", "crows_pairs", "winobias")


@pytest.fixture(scope="module")
def table():
    return leakage.gira_leakage().set_index("benchmark")


@needs_data
@pytest.mark.parametrize("benchmark, seen, n", [
    ("CrowS-Pairs, gender", 200, 262), ("WinoBias, dev", 1262, 1584), ("WinoBias, test", 6, 1584),
])
def test_counts(table, benchmark, seen, n):
    assert table.loc[benchmark, ["seen", "n"]].tolist() == [seen, n]


@needs_data
def test_counts_from_the_raw_files(table):
    root = mirror()
    train = set((root / "gira2022/official_split/train.txt").read_text("utf-8").split("\n"))
    with (root / "crows_pairs/crows_pairs_anonymized.csv").open(encoding="utf-8") as file:
        pairs = list(csv.DictReader(file))
    both = [p for p in pairs if {p["sent_more"], p["sent_less"]} <= train]
    assert len(both) == table.loc["CrowS-Pairs, all types", "seen"]
    assert sum(p["bias_type"] == "gender" for p in both) == 200
    for split in ("dev", "test"):
        lines = [
            re.sub(r"^\d+ |\[ ?|\]", "", line)
            for path in (root / "winobias").glob(f"*.{split}")
            for line in path.read_text("utf-8").splitlines()
        ]
        known = {re.sub(" +", " ", line) for line in train}  # one line has two blanks
        found = sum(re.sub(" +", " ", line) in known for line in lines)
        assert found == table.loc[f"WinoBias, {split}", "seen"]


@needs_data
def test_held_out_pairs_are_the_rest():
    kept = leakage.held_out_pairs()
    assert len(kept) == 62 and set(kept["bias_type"]) == {"gender"}
    assert kept.index.tolist() == list(range(62))


def test_white_space_is_forgiven_and_nothing_else():
    training = ["She is  a doctor.\r", " He is a nurse."]
    asked = ["She is a doctor.", "He is a nurse. ", "he is a nurse.", "She is a doctor"]
    assert leakage.seen(asked, training).tolist() == [True, True, False, False]


def test_nothing_seen_of_nothing():
    assert leakage.seen([], ["a"]).tolist() == []
    assert leakage.seen(["a"], []).tolist() == [False]
