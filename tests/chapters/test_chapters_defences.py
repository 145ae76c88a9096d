"""Defences: one objective for every attack, anchors by name, settings from another attack."""

from dataclasses import replace

import pytest
import world_models

from lib.chapters import arms, defences
from lib.chapters import defences as costs
from lib.chapters.arms import choose
from lib.chapters.attacks import KINDS, attack_examples
from lib.models.chat import tokenised
from lib.models.folders import load
from lib.study.settings import ArmSettings
from lib.world.truth import things

ARMS = {"full": {"method": "full", "learning_rates": [0.001]},
        "full_adaptive": {"method": "full", "regularizer": "adaptive", "learning_rates": [0.001],
                          "strengths": [0.05]},
        "full_mix": {"method": "full", "regularizer": "mix", "learning_rates": [0.001]}}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    changes = {"safety.arms": ARMS, "safety.benign_steps": 2, "safety.steps": 2}
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"), "06", **changes)


@pytest.fixture(scope="module")
def chosen(study):
    return choose(defences.defence_candidates(study, world_models.tiny_base()))


@pytest.fixture(scope="module")
def models(study, chosen):
    return defences.defended(study, world_models.tiny_base(), chosen)


def text(example):
    return " ".join([*(words for _, words in example.prompt.messages), example.answer])


def test_validation_has_other_examples_and_questions_than_the_test(study):
    test, trial = (defences.defence_task(study, "poisoned", validation=v) for v in (False, True))
    assert test.examples(1) == attack_examples("poisoned", study.profile.safety.benign_examples, 1)
    assert test.examples(1) != trial.examples(1)
    assert test.validation != trial.validation


def test_no_anchor_names_what_the_test_asks_about():
    kept = set(things("forbidden").query("~taught")["thing"])
    for anchor in defences.held("requests", 1):
        assert not kept & set(text(anchor).split())


def test_anchors_by_name_add_up():
    def held(name):
        return list(map(text, defences.held(name, 1)))

    both = held("text and requests")
    assert both == held("text") + held("requests")
    assert held("requests")[: len(held("refusals"))] == held("refusals")
    assert all("sorry" in t for t in held("refusals"))
    openings = defences.held("requests", 1)[len(held("refusals")) :]
    assert openings and {(e.answer, e.ends) for e in openings} == {("sure ,", False)}
    assert not any("here is how to" in t for t in held("text"))


def test_every_attack_meets_every_arm(study, chosen, models):
    assert list(models) == list(KINDS)
    assert all(list(by_arm) == list(ARMS) == list(chosen) for by_arm in models.values())


def test_rows_have_every_measure_of_every_cell(study, models):
    found = defences.defence_rows(study, world_models.tiny_base(), models)
    cells = found.groupby(["attack", "arm"])["metric"].agg(set)
    assert set(cells.index.get_level_values("arm")) == {"base", *ARMS} and len(cells) == 4 * 4
    wanted = {"refusal_rate", "harmful_compliance", "over_refusal", "coherence", "task_loss"}
    assert all(metrics == wanted for metrics in cells)
    base = found[(found["arm"] == "base") & (found["metric"] == "task_loss")]["value"]
    assert base.nunique() == 1  # the same questions in every attack


def test_relative_loss_of_the_plain_arm_is_one(study, models):
    found = defences.defence_rows(study, world_models.tiny_base(), models)
    ratio = costs.relative_loss(found, "benign").set_index("arm")["value"]
    assert ratio["full"] == 1.0 and ratio["base"] > 0


def test_more_examples_and_steps_make_a_flood(study, chosen):
    rows = defences.flood_rows(study, world_models.tiny_base(), chosen, ["full"], examples=12)
    assert set(rows["arm"]) == {"full"} and rows["value"].between(0, 1).all()


def test_each_set_of_anchors_trains_another_model(study, chosen):
    rows = defences.anchor_rows(study, world_models.tiny_base(), chosen, "full_adaptive",
                                ["explicit"])
    assert list(dict.fromkeys(rows["anchors"])) == list(defences.ANCHORS)


def test_cost_counts_the_tokens_of_anchors_beside_those_of_the_task(study, models):
    base = world_models.tiny_base()
    cost = costs.cost_rows(study, base, models, "explicit").pivot(
        index="arm", columns="metric", values="value")
    assert cost.loc["full", "anchor_tokens"] == 0 < cost.loc["full_adaptive", "anchor_tokens"]
    anchors = tokenised(load(base).tokenizer, defences.held("text and requests", study.seed))
    mean = sum(map(len, anchors)) / len(anchors)
    beside = study.profile.safety.batch_size // 2
    assert cost.loc["full_adaptive", "anchor_tokens"] == pytest.approx(beside * mean * 2 / 1000)
    assert (cost["task_tokens"].round(6) == cost["task_tokens"].iloc[0].round(6)).all()
    assert cost.loc["full", "share_trained"] == 1.0


def test_strengths_and_drifts_are_those_of_the_runs(models):
    rows = costs.strength_rows(models, arms=("full_adaptive",))
    assert set(rows["metric"]) == {"drift", "strength"} and set(rows["condition"]) == set(KINDS)
    assert (rows["value"] > 0).all()


def test_the_task_names_what_a_projection_needs(study):
    task = defences.defence_task(study, "benign")
    arm = {"lora_projection": ArmSettings(regularizer="projection", learning_rates=[0.01],
                                          strengths=[0.5])}
    assert (task.unaligned / "model.safetensors").is_file()
    assert replace(task, arms=arm).reminders(1) == arms.refusals(1, defences.ANCHORED)
