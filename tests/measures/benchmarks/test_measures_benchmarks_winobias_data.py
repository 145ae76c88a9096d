"""WinoBias: structure of the pairs, and labels against the occupation lists."""

import re

import pytest
from benchmark_data import mirror, needs

from lib.measures.benchmarks import winobias

pytestmark = needs("winobias")


@pytest.fixture(scope="module", params=["test", "dev"])
def items(request):
    return winobias.sentences(request.param)


def test_sizes(items):
    assert len(items) == 1584
    assert (items.groupby(["type", "condition"]).size() == 396).all()
    assert (items.groupby("item")["condition"].agg(set) == {"pro", "anti"}).all()


def test_sentences_are_the_lines_without_number_and_brackets():
    lines = (mirror() / "winobias" / "anti_stereotyped_type2.txt.test").read_text().splitlines()
    ours = winobias.sentences("test").query("type == 2 and condition == 'anti'")
    plain = [re.sub(r"^\d+ ", "", line).replace("[", "").replace("]", "") for line in lines]
    assert ours["sentence"].tolist() == plain


def test_both_people_and_the_pronoun_are_in_the_sentence(items):
    for row in items.itertuples():
        for word in (row.occupation, row.participant, row.pronoun):
            assert re.search(rf"\b{word}\b", row.sentence), row
    assert (items["occupation"].str.lower() != items["participant"].str.lower()).all()
    assert not items["sentence"].str.contains(r"[\[\]]|the  ").any()


def test_pronoun_follows_the_stereotype_of_the_occupation_exactly_in_pro(items):
    stereotype = items["occupation"].str.lower().map(winobias.occupations())
    follows = items["gender"] == stereotype
    # The authors' own files break the rule for a few lines; none of ours may add to it.
    wrong = follows != (items["condition"] == "pro")
    assert wrong.mean() < 0.01


def test_minimal_pair_names_the_same_people_by_two_pronouns(items):
    pairs = items[items["minimal"]].groupby("item")
    assert (pairs["occupation"].nunique() == 1).all() and (pairs["gender"].nunique() == 2).all()


def test_minimal_pairs_differ_in_pronouns_only(items):
    wide = items.pivot(index="item", columns="condition", values=["sentence", "minimal"])
    differ = 0
    for row in wide.itertuples(index=False):
        anti, pro, flag, _ = row
        words = [re.findall(r"\w+", text.lower()) for text in (pro, anti)]
        changed = {w for a, b in zip(*words, strict=False) if a != b for w in (a, b)}
        minimal = len(words[0]) == len(words[1]) and changed <= set(winobias.PRONOUNS)
        differ += not flag
        if flag:
            assert minimal, (pro, anti)
    assert differ == {"test": 10, "dev": 9}[_split(items)]


def _split(items):
    return "test" if items["sentence"].iloc[0].startswith("The janitor") else "dev"


def test_occupations_are_balanced():
    assert winobias.occupations().value_counts().to_dict() == {"male": 20, "female": 20}
