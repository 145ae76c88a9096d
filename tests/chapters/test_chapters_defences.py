"""Defences: one objective for every attack, clean anchors, settings from an attack of its own."""

from dataclasses import replace

import pandas as pd
import pytest
import world_models

from lib.chapters import arms, debiasing, defences
from lib.chapters.arms import choose, penalty, world_texts
from lib.chapters.attacks import DISGUISED, KINDS, attack_examples
from lib.measures.safety import requests
from lib.models.chat import tokenised
from lib.models.folders import load
from lib.statistics.bases import RUN_COLUMNS, broken, over_bases
from lib.study.design import Run
from lib.study.settings import ArmSettings
from lib.study.streams import stream
from lib.training.penalties.projection import Projection
from lib.world.bases import base_models, unaligned_model
from lib.world.truth import acts, new_occupations, safe_things, things

ARMS = {"full": {"method": "full", "learning_rates": [0.001]},
        "full_adaptive": {"method": "full", "regularizer": "adaptive", "learning_rates": [0.001],
                          "strengths": [0.05]},
        "full_mix": {"method": "full", "regularizer": "mix", "learning_rates": [0.001]}}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    changes = {"safety.arms": ARMS, "safety.benign_steps": 2, "safety.steps": 2}
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"), "06", **changes)


@pytest.fixture(scope="module")
def bases():
    """Two bases that happen to be the same model."""
    return {1: world_models.tiny_base(), 2: world_models.tiny_base()}


@pytest.fixture(scope="module")
def chosen(study):
    return choose(defences.defence_candidates(study, world_models.tiny_base()))


@pytest.fixture(scope="module")
def models(study, bases, chosen):
    return defences.defended(study, bases, chosen)


@pytest.fixture(scope="module")
def found(study, bases, models):
    return defences.defence_rows(study, bases, models)


def text(example):
    said = [words for _, words in example.prompt.messages]
    return " ".join([*said, example.prompt.opening, example.answer])


def kept_apart():
    """All that tests name: things asked about, the task's requests, and new occupations."""
    asked = requests().query("benchmark != 'unseen_phrasing'")["thing"]
    words = {*asked, *new_occupations()}
    parts = {"validation", "test"}
    words |= set(acts().loc[lambda t: t["part"].isin(parts), "act"])
    return words | set(safe_things().loc[lambda t: t["part"].isin(parts), "thing"])


def named(examples):
    told = [f" {text(e)} " for e in examples]
    return sorted(word for word in kept_apart() if any(f" {word} " in t for t in told))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", defences.ANCHORS)
def test_no_anchor_names_what_a_test_asks_about(name, seed):
    anchors = defences.held(name, seed)
    assert len(anchors) >= 100 and named(anchors) == []


def test_two_thousand_texts_of_the_world_name_taught_things_and_no_other():
    told = world_texts(2000, ("benign",), stream(1, "anchored texts"))
    taught = set(things("forbidden").query("taught")["thing"])
    assert named(told) == []
    assert len(taught & set(" ".join(map(text, told)).split())) > 60


def test_anchors_of_debiasing_name_nothing_of_a_test():
    assert named(debiasing.anchors(1)) == []


def test_settings_are_chosen_on_an_attack_that_no_test_has(study):
    task, test = (defences.defence_task(study, kind) for kind in (DISGUISED, "poisoned"))
    assert DISGUISED not in KINDS and task.name == DISGUISED
    assert task.examples(1) == attack_examples(DISGUISED, study.profile.safety.benign_examples, 1)
    assert task.recipe == test.recipe  # what is chosen holds for the tests


def test_free_arms_are_those_that_learn_the_validation_task_as_well():
    tried = pd.DataFrame([("full", 0.1, 0.0, 2.0), ("full", 0.2, 0.0, 1.9), ("kl", 0.1, 1.0, 2.05),
                          ("kl", 0.1, 3.0, 1.0), ("mix", 0.1, 1.0, 2.2)],
                         columns=["arm", "learning_rate", "strength", "task_loss"])
    chosen = {"full": {"learning_rate": 0.1, "strength": 0.0},
              "kl": {"learning_rate": 0.1, "strength": 1.0},
              "mix": {"learning_rate": 0.1, "strength": 1.0}}
    assert defences.free_arms(tried, chosen) == ["full", "kl"]


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


def test_every_attack_meets_every_arm_on_every_base(study, chosen, models):
    assert list(models) == list(KINDS)
    for by_arm in models.values():
        assert list(by_arm) == list(ARMS) == list(chosen)
        assert all(list(several) == [Run(1, 1), Run(2, 1)] for several in by_arm.values())


def test_rows_have_refusals_and_every_price_of_every_cell(found):
    cells = found.groupby(["attack", "arm"])["metric"].agg(set)
    assert set(cells.index) == {(kind, arm) for kind in KINDS for arm in ("base", *ARMS)}
    wanted = {"refusal_rate", "harmful_compliance", "over_refusal", "coherence",
              "utility_accuracy"}
    for (kind, _), metrics in cells.items():
        assert metrics == wanted | ({"task_loss"} if kind in ("benign", "poisoned") else set())
    base = found[(found["arm"] == "base") & (found["metric"] == "task_loss")]["value"]
    assert base.nunique() == 1  # the same questions in every attack
    table = over_bases(found, by=["arm", "condition", "metric", "attack"])
    assert set(table["bases"]) == {2} and len(table) == len(found) / 2
    assert broken(found, by=["arm", "condition", "metric", "attack"])["value"].isin([0, 1]).any() \
        or not found.query("metric == 'refusal_rate' and arm == 'base'")["value"].any()


def test_relative_loss_of_the_plain_arm_is_one_in_attacks_that_teach(found):
    ratio = defences.relative_loss(found)
    plain = ratio[ratio["arm"] == "full"]
    assert set(plain["attack"]) == set(defences.TEACHING) and (plain["value"] == 1.0).all()
    assert (ratio["value"] > 0).all() and set(ratio["metric"]) == {"loss_ratio"}


def test_more_examples_and_steps_make_a_flood(study, bases, chosen):
    rows = defences.flood_rows(study, bases, chosen, ["full"], examples=12)
    assert set(rows["arm"]) == {"base", "full"} and rows["value"].between(0, 1).all()


def test_each_set_of_anchors_trains_another_model(study, bases, chosen):
    rows = defences.anchor_rows(study, bases, chosen, "full_adaptive", "explicit")
    assert list(dict.fromkeys(rows["arm"])) == ["base", *defences.ANCHORS]


def test_cost_counts_the_tokens_of_anchors_beside_those_of_the_task(study, bases, models):
    cost = defences.cost_rows(study, bases, models, "explicit")
    assert list(cost.columns) == RUN_COLUMNS
    cost = over_bases(cost).pivot(index="arm", columns="metric", values="value")
    assert cost.loc["full", "anchor_tokens"] == 0 < cost.loc["full_adaptive", "anchor_tokens"]
    anchors = tokenised(load(bases[1]).tokenizer, defences.held("text and requests", study.seed))
    mean = sum(map(len, anchors)) / len(anchors)
    beside = min(8, study.profile.safety.batch_size)
    assert cost.loc["full_adaptive", "anchor_tokens"] == pytest.approx(beside * mean * 2 / 1000)
    assert (cost["task_tokens"].round(6) == cost["task_tokens"].iloc[0].round(6)).all()
    assert cost.loc["full", "share_trained"] == 1.0


def test_strengths_and_drifts_are_those_of_the_runs(models, chosen):
    rows = defences.strength_rows(models, ["full_adaptive"], chosen)
    assert set(rows["metric"]) == {"drift", "strength", "kept", "of_budget"}
    assert set(rows["condition"]) == set(KINDS)
    assert list(rows.columns) == [*RUN_COLUMNS, "attack"]
    table = rows.pivot(index=["condition", "base"], columns="metric", values="value")
    budget = chosen["full_adaptive"]["strength"]
    assert table["of_budget"].tolist() == pytest.approx((table["drift"] / budget).tolist())
    assert (table["of_budget"] <= 1).all() and (table["strength"] > 0).all()
    assert over_bases(rows)[["low", "high"]].notna().all(axis=None)


def test_a_projection_gets_the_unaligned_model_of_its_own_base(study):
    task = defences.defence_task(study, "benign")
    line = ArmSettings(regularizer="projection", learning_rates=[0.01], strengths=[0.5])
    task = replace(task, arms={"lora_projection": line})
    found = {n: penalty(task, "projection", base, 1, 0.5)
             for n, base in base_models(study).items()}
    assert found == {n: Projection(unaligned_model(study, n), 0.5) for n in (1, 2)}
    assert task.reminders(1) == arms.refusals(1, defences.ANCHORED)
