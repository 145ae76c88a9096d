"""Gradients word by word along an attack."""

import world_models

from lib.chapters.depth import gradient_rows


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
