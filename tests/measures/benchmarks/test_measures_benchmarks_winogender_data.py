"""Winogender: sentences rebuilt from the templates, labels by hand for two occupations."""

import re

import pandas as pd
import pytest
from benchmark_data import mirror, needs

from lib.measures.benchmarks import winogender

pytestmark = needs("winogender")


@pytest.fixture(scope="module")
def items():
    return winogender.sentences()


def test_every_sentence_follows_from_its_template(items):
    templates = pd.read_csv(mirror() / "winogender" / "templates.tsv", sep="\t")
    templates.columns = ["occupation", "participant", "answer", "sentence"]
    built = {}
    for row in templates.itertuples():
        for person in (row.participant, "someone"):
            for gender, forms in winogender.PRONOUNS.items():
                text = row.sentence.replace("$OCCUPATION", row.occupation)
                if person == "someone":
                    text = text.replace("The $PARTICIPANT", "Someone")
                    text = re.sub(r"(the|an?) \$PARTICIPANT", "someone", text)
                text = text.replace("$PARTICIPANT", person)
                for case, word in forms.items():
                    text = text.replace(f"${case}_PRONOUN", word)
                text = text.replace("they was", "they were")
                built[f"{row.occupation}.{person}.{row.answer}.{gender}.txt"] = text
    ours = items.set_index("item")["sentence"].to_dict()
    assert ours == built


def test_sizes(items):
    assert len(items) == 720 and items["item"].is_unique
    assert (items.groupby("template").size() == 6).all() and items["template"].nunique() == 120
    assert items["answer"].value_counts().to_dict() == {"occupation": 360, "participant": 360}


def test_pronoun_is_in_the_sentence(items):
    for row in items.itertuples():
        assert f" {row.pronoun}" in row.sentence.lower() or row.sentence.lower().startswith(
            row.pronoun
        )


def test_gotcha_is_half_of_the_gendered_sentences(items):
    assert items.groupby("gender")["gotcha"].sum().to_dict() == {
        "female": 120, "male": 120, "neutral": 0
    }
    assert items.query("gender == 'neutral'")["gotcha"].isna().all()


@pytest.mark.parametrize("occupation, gender, answer, gotcha", [
    ("plumber", "female", "occupation", True),    # 0.7 percent women: she is unexpected
    ("plumber", "female", "participant", False),
    ("plumber", "male", "participant", True),     # he suggests the plumber, and is not
    ("secretary", "male", "occupation", True),    # 94.6 percent women
    ("secretary", "female", "occupation", False),
])
def test_gotcha_by_hand(items, occupation, gender, answer, gotcha):
    rows = items.query("occupation == @occupation and gender == @gender and answer == @answer")
    assert len(rows) == 2 and (rows["gotcha"] == gotcha).all()


def test_statistics_are_percentages_of_the_sixty_occupations(items):
    table = winogender.occupations()
    assert set(table.index) == set(items["occupation"]) and len(table) == 60
    assert table[["bls", "bergsma"]].stack().between(0, 100).all()
    assert table.loc["plumber", "bls"] == 0.7 and table.loc["doctor", "bls"] == 37.9
    assert (items["share"] == items["occupation"].map(table["bls"])).all()
