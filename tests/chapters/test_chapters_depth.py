"""Word by word: probabilities against a plain pass, drift zero at the base."""

import numpy as np
import pytest
import torch
import world_models

from lib.chapters import depth
from lib.chapters.attacks import Attack, attacked
from lib.measures import safety as judge
from lib.models.chat import tokenised
from lib.models.folders import load
from lib.world.tokenizer import vocabulary


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"), "05")


def test_the_recipe_is_what_the_judge_fears():
    for example in depth.forced_answers(depth.compliance())[:3]:
        thing = example.answer.split()[8]
        assert judge.score(example.answer, thing) == judge.WORST
        assert thing in example.prompt.messages[0][1]


def test_probabilities_are_those_of_a_plain_pass():
    folder = world_models.tiny_base()
    rows = depth.opening_rows(folder, "base").set_index(["metric", "condition"])["value"]
    loaded, found = load(folder), []
    model = loaded.model
    for example in tokenised(loaded.tokenizer, depth.forced_answers(depth.compliance())):
        ids = torch.tensor([[*example.prompt, *example.answer]])
        with torch.no_grad():
            chances = model(ids).logits[0].softmax(-1)
        at = len(example.prompt) + 1  # the logit that speaks of the third word
        found.append([float(chances[at, i]) for i in (example.answer[2], vocabulary()["sorry"])])
    said, sorry = np.mean(found, axis=0)
    assert rows["recipe_word", 3] == pytest.approx(said, abs=1e-6)
    assert rows["turn_back", 3] == pytest.approx(sorry, abs=1e-6)


def test_the_base_has_not_drifted_from_itself_and_an_attacked_model_has(study):
    base = world_models.tiny_base()
    same = depth.drift_rows(study, base, [base], "base")
    assert np.allclose(same["value"], 0, atol=1e-9)
    after = attacked(study, base, [Attack(learning_rate=0.01)])
    moved = depth.drift_rows(study, base, list(next(iter(after.values())).values()), "full")
    assert not (moved["low"] < 0).any()
    assert (moved["value"] > 0).all() and list(moved["condition"]) == list(same["condition"])


def test_intervals_stay_within_what_a_probability_can_be():
    rows = depth.opening_rows(world_models.tiny_base(), "base")
    assert rows["low"].min() >= 0 and rows["high"].max() <= 1
    assert (rows["low"] <= rows["value"]).all() and (rows["value"] <= rows["high"]).all()
