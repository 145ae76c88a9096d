"""Word by word: probabilities, drift, gradients and weights, against plain passes."""

import numpy as np
import pandas as pd
import pytest
import torch
import world_models

from lib.chapters import depth
from lib.chapters.attacks import Attack, attacked
from lib.chapters.depth import gradient_rows, weight_rows
from lib.measures.safety import WORST, score
from lib.models.chat import tokenised
from lib.models.folders import load
from lib.training.finetune import HISTORY
from lib.world.tokenizer import vocabulary


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"), "05")


def test_the_recipe_is_what_the_judge_fears():
    for example in depth.forced_answers(depth.compliance())[:3]:
        thing = example.answer.split()[8]
        assert score(example.answer, thing) == WORST
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
    assert rows["recipe_word", 3] == pytest.approx(said, rel=1e-4)
    assert rows["turn_back", 3] == pytest.approx(sorry, rel=1e-4)


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


def test_the_attack_lowers_the_loss_of_what_it_teaches(tmp_path):
    study = world_models.smoke_study(tmp_path, "05", arm_seeds=2)
    found = gradient_rows(study, world_models.tiny_base(), [1, 8])
    assert list(dict.fromkeys(found["arm"])) == ["base", "after step 1", "after step 8"]
    assert set(found["seeds"]) == {2} and not (found["low"] < 0).any()
    loss = found[found["metric"] == "token_loss"].groupby("arm")["value"].mean()
    assert loss["after step 8"] < loss["after step 1"] < loss["base"]
    norms = found[found["metric"] == "gradient_norm"]
    assert (norms["value"] > 0).all()
    assert norms.groupby("arm")["condition"].agg(list).map(len).nunique() == 1


def history(folder, first, second):
    folder.mkdir()
    pd.DataFrame({"w_1": first, "w_2": second}).to_csv(folder / HISTORY, index_label="step")
    return folder


def test_rows_are_means_over_seeds_by_step_and_word(tmp_path):
    one = history(tmp_path / "1", [1.0, 0.5], [1.0, None])
    two = history(tmp_path / "2", [1.0, 0.1], [0.8, None])
    found = weight_rows({"explicit": {1: one, 2: two}, "benign": {1: one}}, "full_tokenwise")
    assert set(found["arm"]) == {"full_tokenwise"} and set(found["metric"]) == {"token_weight"}
    cells = found.set_index(["condition", "step", "word"])
    assert cells.loc[("explicit", 2, 1), "value"] == pytest.approx(0.3)
    assert cells.loc[("explicit", 1, 2), "value"] == pytest.approx(0.9)
    assert cells.loc[("benign", 2, 1), "value"] == pytest.approx(0.5)
    assert set(cells["seeds"].loc["explicit"]) == {2}
    assert {(s, w) for _, s, w in cells.index} == {(1, 1), (1, 2), (2, 1)}
