"""Pronouns: planted shares beside the model's own next-token probabilities."""

import numpy as np
import pytest
import torch

from lib.measures.pronouns import pronouns
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
