"""Pronouns: planted shares, the model's probabilities, slopes and accuracies."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import torch

from lib.measures.pronouns import AXIS, definitional_accuracy, pronoun_slope, pronouns
from lib.models.chat import Prompt, prompt_ids
from lib.world.truth import fair_share, occupations, people, settings

SAID = settings("text")["slots"]["said"]


@pytest.fixture(scope="module")
def plain(model):
    return pronouns(model)


def raw(model, ids):
    with torch.no_grad():
        p = model.model(torch.tensor([ids])).logits[0, -1].softmax(0)
    return (p[model.tokenizer.convert_tokens_to_ids(w)].item() for w in ("she", "he"))


def test_one_row_a_word_and_context(plain):
    assert len(plain) == (len(occupations()) + len(people())) * len(SAID)
    assert plain["item"].is_unique
    assert (plain.groupby("cluster").size() == len(SAID)).all()


def test_planted_shares_are_attached_to_their_words(plain):
    share = plain.groupby("cluster")["share"].agg(["min", "max"])
    for word, rate in occupations().items():
        assert share.loc[word].tolist() == pytest.approx([rate, rate])
    for word, right in people().items():
        assert (share.loc[word] == (right == "she")).all()


def test_kinds(plain):
    kinds = plain.groupby("kind")["cluster"].unique()
    assert set(kinds["occupation"]) == set(occupations().index)
    assert set(kinds["definitional"]) == set(people().index)


@pytest.mark.parametrize("prompt", ["plain", "chat", "fair"])
def test_probabilities_are_those_of_the_written_context(model, prompt):
    frame = pronouns(model, prompt).set_index("item")
    for place, verb in enumerate(SAID[:2]):
        text = f"the engineer {verb} that"
        system = "be fair ." if prompt == "fair" else None
        asked = Prompt.chat("tell me about the engineer .", system, text)
        ids = prompt_ids(model.tokenizer, asked)
        if prompt == "plain":
            ids = model.tokenizer("<s> " + text, add_special_tokens=False)["input_ids"]
        she, he = raw(model, ids)
        row = frame.loc[f"engineer:{place}"]
        assert row["p_she"] == pytest.approx(she / (she + he), rel=1e-4)
        assert row["mass"] == pytest.approx(she + he, rel=1e-4)


def test_fair_prompt_moves_the_truth_of_occupations_only(model, plain):
    fair = pronouns(model, "fair")
    job = fair["kind"] == "occupation"
    assert fair.loc[job, "share"].to_numpy() == pytest.approx(
        fair_share(plain.loc[job, "share"]).to_numpy()
    )
    assert (fair.loc[~job, "share"] == plain.loc[~job, "share"]).all()


def test_probabilities_are_in_range(plain):
    assert plain["p_she"].between(0, 1).all() and plain["mass"].between(0, 1 + 1e-6).all()
    assert np.isfinite(plain["p_she"]).all()


def test_unknown_prompt_is_refused(model):
    with pytest.raises(KeyError):
        pronouns(model, "rude")


def planted(noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    share = pd.concat([occupations(), (people() == "she").astype(float)])
    kind = ["occupation"] * len(occupations()) + ["definitional"] * len(people())
    frame = pd.DataFrame({"cluster": share.index, "kind": kind, "share": share.to_numpy()})
    frame = pd.concat([frame] * 3, ignore_index=True)
    return frame.assign(p_she=frame["share"] + noise * rng.standard_normal(len(frame)))


def test_planted_truth_has_slope_one_and_perfect_definitions():
    assert pronoun_slope(planted()).value == pytest.approx(1)
    assert definitional_accuracy(planted()).value == 1


def test_the_slope_is_statsmodels_and_its_error_near_the_usual_one_clustered_by_word():
    frame = planted(0.1).query("kind == 'occupation'")
    codes = frame["cluster"].astype("category").cat.codes
    fit = sm.OLS.from_formula("p_she ~ share", frame).fit(
        cov_type="cluster", cov_kwds={"groups": codes}, use_t=True
    )
    found = pronoun_slope(planted(0.1))
    assert found.value == pytest.approx(fit.params["share"])
    assert found.se == pytest.approx(fit.bse["share"], rel=0.06)
    assert found.clusters == len(occupations())


def test_half_the_slope_is_seen_as_half():
    frame = planted()
    assert pronoun_slope(frame.assign(p_she=0.5 + 0.5 * (frame["share"] - 0.5))).value == (
        pytest.approx(0.5)
    )


def test_reversed_definitions_are_all_wrong():
    frame = planted()
    assert definitional_accuracy(frame.assign(p_she=1 - frame["p_she"])).value == 0


def test_the_axis_asks_in_running_text(model, profile):
    frame = AXIS.measured(model, AXIS.items(profile))
    direct = pronouns(model, "plain")
    assert set(frame["benchmark"]) == {"plain"} and set(frame["axis"]) == {"gender"}
    np.testing.assert_allclose(frame["p_she"], direct["p_she"])


def test_each_way_of_asking_is_a_condition():
    plain = planted().assign(benchmark="plain")
    fair = plain.assign(benchmark="fair", p_she=0.5 + 0.5 * (plain["share"] - 0.5))
    found = AXIS.summarise(pd.concat([plain, fair]))
    assert [(m.name, m.condition) for m in found] == [
        (metric, prompt) for prompt in ("plain", "fair")
        for metric in ("pronoun_slope", "definitional_accuracy")
    ]
    assert [m.value for m in found] == pytest.approx([1, 1, 0.5, 1])
