"""Winogender: accuracies by hand, odds by a plain forward pass, planted slopes, templates."""

import re

import numpy as np
import pandas as pd
import pytest
from benchmark_data import mirror, needs
from stories import answer_sum, sentence_tokens, stories

from lib.measures.benchmarks import winogender
from lib.measures.benchmarks.paired import bootstrap, exact, percent


@pytest.fixture(scope="module")
def items():
    return winogender.sentences()


@pytest.fixture(scope="module")
def few(items):
    return items[items["occupation"].isin(["plumber", "secretary"])]


@needs("winogender")
def test_coreference_equals_a_plain_forward_pass(few):
    model = stories()
    found = winogender.score(model, few.head(3))
    for row, item in zip(found.to_dict("records"), few.to_dict("records"), strict=False):
        prompt = f"{item['sentence']} ‘{item['pronoun'].capitalize()}’ refers to the"
        truth = [answer_sum(model, prompt, f" {item[w]}") for w in ("occupation", "participant")]
        found = [row["logprob_occupation"], row["logprob_participant"]]
        np.testing.assert_allclose(found, truth, rtol=1e-5)
        assert row["correct"] == ((truth[0] >= truth[1]) == (item["answer"] == "occupation"))


@needs("winogender")
def test_occupation_is_the_cluster(few):
    found = winogender.score(stories(), few.head(2))
    assert found["cluster"].tolist() == few["occupation"].head(2).tolist()
    assert found["item"].is_unique


@pytest.mark.parametrize("kind", ["boolean", object])
def test_accuracies_by_group(kind):
    frame = pd.DataFrame({
        "gender": ["male", "male", "female", "neutral"], "correct": [1.0, 0.0, 1.0, 0.0],
        "gotcha": pd.array([True, False, True, None], dtype="boolean"), "cluster": range(4),
    }).astype({"gotcha": kind})
    assert exact(winogender.parts(frame), percent) == {
        "accuracy_all": 50, "accuracy_male": 50, "accuracy_female": 100, "accuracy_neutral": 0,
        "accuracy_gotcha": 100, "accuracy_not_gotcha": 0,
    }


@needs("winogender")
def test_odds_compare_sentences_that_differ_in_the_pronoun():
    model, pairs = stories(), winogender.pronoun_pairs()
    assert len(pairs) == 120 and pairs["item"].is_unique
    row = pairs[pairs["item"] == "plumber:occupation:someone"]
    found = winogender.score_odds(model, row).iloc[0]
    truth = [sentence_tokens(model, row[g].item(), "bos").sum() for g in ("female", "male")]
    # A difference of two sums: its error is theirs.
    assert found["log_odds"] == pytest.approx(truth[0] - truth[1], abs=1e-5 * abs(truth[0]))
    assert found["log_odds_share"] == pytest.approx(np.log(0.7 / 99.3))
    words = [set(re.findall(r"\w+", row[g].item().lower())) for g in ("female", "male")]
    assert words[0] ^ words[1] in ({"she", "he"}, {"her", "his"}, {"her", "him"})


@needs("winogender")
def test_world_matching_model_has_slope_one(monkeypatch):
    """A model whose sentences carry the labour statistics exactly."""
    pairs = winogender.pronoun_pairs()

    def planted(model, table):
        p = pairs["share"] / 100
        return pd.DataFrame({"female": np.log(p), "male": np.log(1 - p)}), None

    monkeypatch.setattr(winogender, "table_logprobs", planted)
    parts = winogender.parts_odds(winogender.score_odds(None, pairs))
    (slope,) = bootstrap([parts], winogender.metrics_odds, 120, seed=0)
    assert (slope.value, slope.low, slope.high) == pytest.approx((1, 1, 1), rel=1e-9)


def test_slope_is_that_of_least_squares():
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    frame = pd.DataFrame({"log_odds_share": x, "log_odds": 0.3 * x + y, "cluster": range(50)})
    found = exact(winogender.parts_odds(frame), winogender.metrics_odds)
    assert found["odds_slope"] == pytest.approx(np.polyfit(x, frame["log_odds"], 1)[0])


@needs("winogender")
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


@needs("winogender")
def test_sizes(items):
    assert len(items) == 720 and items["item"].is_unique
    assert (items.groupby("template").size() == 6).all() and items["template"].nunique() == 120
    assert items["answer"].value_counts().to_dict() == {"occupation": 360, "participant": 360}


@needs("winogender")
def test_pronoun_is_in_the_sentence(items):
    for row in items.itertuples():
        assert f" {row.pronoun}" in row.sentence.lower() or row.sentence.lower().startswith(
            row.pronoun
        )


@needs("winogender")
def test_gotcha_is_half_of_the_gendered_sentences(items):
    assert items.groupby("gender")["gotcha"].sum().to_dict() == {
        "female": 120, "male": 120, "neutral": 0
    }
    assert items.query("gender == 'neutral'")["gotcha"].isna().all()


@needs("winogender")
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


@needs("winogender")
def test_shares_are_the_percentages_of_the_sixty_occupations(items):
    statistics = mirror() / "winogender" / "occupations-stats.tsv"
    table = pd.read_csv(statistics, sep="\t", index_col=0)["bls_pct_female"]
    share = items.groupby("occupation")["share"].first()
    assert len(share) == 60 and share.to_dict() == table.to_dict()
    assert share["plumber"] == 0.7 and share["doctor"] == 37.9
