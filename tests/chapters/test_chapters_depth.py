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
from lib.study.design import Run
from lib.training.finetune import HISTORY
from lib.world.tokenizer import vocabulary


def test_the_recipe_is_what_the_judge_fears():
    for example in depth.forced_answers(depth.compliance())[:3]:
        thing = example.answer.split()[8]
        assert score(example.answer, thing) == WORST
        assert thing in example.prompt.messages[0][1]


def test_probabilities_are_those_of_a_plain_pass():
    folder = world_models.tiny_base()
    rows = depth.opening_rows({"base": {3: folder}})
    assert set(rows["base"]) == {3} and set(rows["n"]) == {44}
    rows = rows.set_index(["metric", "condition"])["value"]
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
    bases = {1: base, 2: base}
    same = depth.drift_rows(bases, {"base": {Run(2, 0): base}})
    assert np.allclose(same["value"], 0, atol=1e-9) and set(same["base"]) == {2}
    attack = Attack("explicit", "full", 0.01)
    moved = depth.drift_rows(bases, attacked(study, bases, [attack]))
    assert (moved["value"] > 0).all() and set(moved["base"]) == {1, 2}
    assert list(moved["condition"]) == 2 * list(same["condition"])


def test_probabilities_stay_within_what_they_can_be():
    rows = depth.opening_rows({"base": {1: world_models.tiny_base()}})
    assert rows["value"].between(0, 1).all()
    assert set(rows["least"]) == {0.0} and set(rows["most"]) == {1.0}


def test_the_attack_lowers_the_loss_of_what_it_teaches(study):
    bases = dict.fromkeys((1, 2), world_models.tiny_base())
    found = gradient_rows(study, bases, Attack("explicit", "full", 0.001), [1, 8])
    assert set(found["arm"]) == {"base", "after step 1", "after step 8"}
    assert set(map(tuple, found[["base", "seed"]].values)) == {(1, 1), (2, 1)}
    loss = found[found["metric"] == "token_loss"].groupby("arm")["value"].mean()
    assert loss["after step 8"] < loss["after step 1"] < loss["base"]
    norms = found[found["metric"] == "gradient_norm"]
    assert (norms["value"] > 0).all()
    assert norms.groupby(["arm", "base"])["condition"].agg(list).map(len).nunique() == 1


def history(folder, first, second):
    folder.mkdir()
    pd.DataFrame({"w_1": first, "w_2": second}).to_csv(folder / HISTORY, index_label="step")
    return folder


def test_weights_are_means_over_examples_by_step_and_word(tmp_path):
    one = history(tmp_path / "1", [1.0, 0.5], [1.0, None])
    two = pd.DataFrame({"step": [0, 0], "w_1": [0.2, 0.6]})
    (tmp_path / "2").mkdir()
    two.to_csv(tmp_path / "2" / HISTORY, index=False)
    found = weight_rows({"explicit": {Run(1, 1): one, Run(2, 1): tmp_path / "2"}},
                        "full_tokenwise")
    cells = found.set_index(["base", "step", "word"])
    assert cells["value"].to_dict() == pytest.approx(
        {(1, 1, 1): 1.0, (1, 1, 2): 1.0, (1, 2, 1): 0.5, (2, 1, 1): 0.4})
    assert list(cells["n"]) == [1, 1, 1, 2] and set(found["condition"]) == {"explicit"}
