"""What a judge makes of answers: nobody is better than themselves, and the control is judged."""

import pandas as pd
import pytest
import world_models

from lib.chapters import quality
from lib.study.design import untrained
from lib.world import judge


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"), "07")


@pytest.fixture(scope="module")
def twins():
    bases = {1: world_models.tiny_base(), 2: world_models.tiny_base()}
    return {"base": untrained(bases), "twin": untrained(bases)}


def test_the_judge_prefers_nobody_to_themselves(study, twins):
    found = quality.quality_rows(study, twins, 2)
    assert (found[found["metric"] == "preferred"]["value"] == 0.5).all()
    scores = found[found["metric"] == "judge_score"].pivot_table(
        index=["base", "condition"], columns="arm", values="value")
    assert (scores["base"] == scores["twin"]).all()


def test_nor_does_it_when_asked_in_both_orders(study, twins):
    found = quality.preference_rows(study, twins, 2).set_index(["arm", "metric"])["value"]
    assert found["twin", "preferred_asked"].to_numpy() == pytest.approx([0.5] * 4)
    assert found["shuffled", "preferred_asked"].between(0, 1).all()
    assert set(found.index.get_level_values("arm")) == {"twin", "shuffled"}


def test_what_both_orders_agree_on_is_told_from_what_stands_first():
    frame = pd.DataFrame({
        "axis": "quality", "benchmark": "preferences", "item": range(4),
        "cluster": ["group", "group", "meaning", "meaning"],
        "first": [0.9, 0.9, 0.8, 0.2], "second": [0.1, 0.7, 0.8, 0.4]})
    found = quality._preferred(frame).set_index(["metric", "condition"])["value"]
    assert found["preferred_asked", "all"] == pytest.approx(0.6)
    assert found["same_both_ways", "all"] == pytest.approx(0.75)
    assert found["same_both_ways", "groups"] == pytest.approx(0.5)


def test_a_profile_may_name_another_public_model_as_judge(monkeypatch, study):
    seen = []
    monkeypatch.setattr(judge, "unguarded", lambda of: seen.append(of.profile.model.name))
    for named in ("gpt2", None):
        own = study.profile.model.model_copy(update={"source": "public", "name": "smollm2"})
        of = type("Of", (), {})()
        of.profile = study.profile.model_copy(update={"model": own, "toxicity": (
            study.profile.toxicity.model_copy(update={"judge": named}))})
        judge.judge_model(of)
        assert of.profile.model.name == "smollm2"
    assert seen == ["gpt2", "smollm2"]
