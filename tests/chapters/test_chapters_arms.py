"""Arms: what a profile's line decides, what must not change, and how settings are chosen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import world_models

from lib.chapters import arms as selection
from lib.chapters.arms import (
    ANCHORS,
    MAKERS,
    answered,
    arm_job,
    arm_recipe,
    candidate_rows,
    candidates,
    choose,
    penalty,
    recipe,
    refusals,
    task_losses,
    world_anchors,
)
from lib.chapters.attacks import Attack, attack_examples, attack_job
from lib.chapters.correction import correction_task, validation_examples
from lib.errors import InvalidValueError
from lib.measures import utility
from lib.models.chat import Example, Prompt, tokenised
from lib.models.folders import load
from lib.models.generation import generate
from lib.study import paths
from lib.study.profiles import load_profile
from lib.study.settings import ArmSettings
from lib.training.finetune import finetune
from lib.training.job import Job
from lib.training.penalties.tokenwise import DEEP
from lib.training.runs import in_parts
from lib.world.truth import occupations, things


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"))


ONE = (Example(Prompt.chat("what is next ?"), "3"),)


def made(study, **line):
    arm = ArmSettings(**{"learning_rates": [0.01]} | line)
    return arm_recipe(replace(correction_task(study), arms={"arm": arm}), "arm", 0.01, 3)


def test_an_arm_has_the_profiles_shape_unless_it_says_otherwise(study):
    given, plain = study.profile.finetune, made(study)
    assert (plain.rank, plain.targets, plain.alpha) == (
        given.rank, tuple(given.targets), given.alpha)
    assert (plain.steps, plain.batch_size, plain.seed) == (given.steps, given.batch_size, 3)
    other = made(study, rank=8, targets=["o_proj"], method="norms")
    assert (other.rank, other.targets, other.method) == (8, ("o_proj",), "norms")
    assert other.alpha / other.rank == plain.alpha / plain.rank


@pytest.mark.parametrize(("precision", "gpu", "saved"), [
    ("bfloat16", True, True), ("bfloat16", False, False), ("float32", False, True)])
def test_memory_is_saved_as_the_profile_says(tmp_path, monkeypatch, precision, gpu, saved):
    """But for bfloat16 on a CPU, whose attention the second pass would make by another kernel."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    changes = {"finetune.accumulation": 4, "finetune.checkpointing": True,
               "model.dtype": precision}
    study = world_models.smoke_study(tmp_path, "05", **changes)
    attack = attack_job(study, Path("base"), Attack("benign", "full", 0.001), 1).recipe
    for one in (made(study), attack):
        assert (one.accumulation, one.checkpointing, one.precision) == (
            4, saved, precision)


def test_a_step_of_few_examples_has_no_more_parts_than_these(tmp_path):
    study = world_models.smoke_study(tmp_path, "05", **{"finetune.accumulation": 4})
    few = attack_job(study, Path("base"), Attack("explicit", "full", 0.001, examples=2), 1).recipe
    assert (few.batch_size, few.accumulation) == (2, 2)


@pytest.mark.parametrize(("examples", "parts", "kept"), [
    (26, 4, 24), (26, 1, 26), (26, 2, 26), (24, 4, 24), (2, 4, 2)])
def test_an_epoch_does_not_end_with_fewer_examples_than_parts(study, examples, parts, kept):
    given = replace(made(study), batch_size=12, accumulation=parts)
    job = in_parts(Job(Path("base"), tuple(range(examples)), given, Path(), ""))
    assert job.examples == tuple(range(kept))


def test_a_large_profile_s_recipe_trains_on_a_cpu(tmp_path):
    """Parts of a step, bfloat16 and a second pass, all at once."""
    shared = recipe(load_profile("replication"), steps=2, batch_size=4, targets=["q_proj"])
    small = replace(shared, rank=2, alpha=4, learning_rate=0.01)
    examples = attack_examples("benign", 4, 1)
    figures = finetune(world_models.tiny_base(), examples, small, tmp_path / "out", "tiny")
    assert figures["steps"] == 2 and figures["last_loss"] < figures["first_loss"]


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_every_kind_of_regulariser_takes_its_strength(study, kind):
    task = replace(correction_task(study), anchors=lambda seed: ONE,
                   reminders=lambda seed: ONE, unaligned=lambda base: base,
                   talk=((ONE[0].prompt,), ("lazy",)))
    held = penalty(task, kind, world_models.tiny_base(), 1, 0.5)
    named = {"adaptive": "budget", "projection": "threshold", "average": "back", "ema": "decay"}
    found = named.get(kind, "strength")
    if kind in ("tokenwise", "uniform"):
        assert held.betas == (tuple(0.5 * beta for beta in DEEP) if kind == "tokenwise" else (0.5,))
    else:
        assert getattr(held, found) == 0.5


@pytest.mark.parametrize("examples, anchors", [(1, 1), (5, 5), (10, 8), (64, 8)])
@pytest.mark.parametrize("kind", ["kl", "adaptive", "mix"])
def test_anchors_are_as_many_as_examples_and_at_most_eight(study, kind, examples, anchors):
    plain = correction_task(study)
    task = replace(plain, anchors=lambda seed: ONE, reminders=lambda seed: ONE,
                   recipe=replace(plain.recipe, batch_size=examples))
    assert penalty(task, kind, Path(), 1, 0.5).per_step == anchors


def test_every_kind_that_a_profile_can_name_exists():
    named = set(ArmSettings.model_fields["regularizer"].annotation.__args__)
    assert named == {"none", *MAKERS}


@pytest.mark.parametrize(("kind", "missing"), [("mix", "reminders"), ("projection", "unaligned")])
def test_a_task_without_what_a_regulariser_needs_is_named(study, kind, missing):
    with pytest.raises(InvalidValueError, match=missing):
        penalty(correction_task(study), kind, Path(), 1, 0.5)


def test_jobs_are_labelled_by_task_arm_and_seed(study):
    job = arm_job(world_models.tiny_base(), correction_task(study), "lora", 0.005, 0.0, 7)
    assert job.label == "correction: lora, seed 7" and job.regularizer is None


def text(example):
    said = [words for _, words in example.prompt.messages]
    return " ".join([*said, example.prompt.opening, example.answer]).split()


def test_as_many_as_asked_for_without_the_kinds_left_out():
    named = set(occupations().index)
    found = world_anchors(1, ("occupation",))
    assert 0.95 * ANCHORS < len(found) < 1.05 * ANCHORS
    assert not any(named & set(text(a)) for a in found)
    assert any(named & set(text(a)) for a in world_anchors(1, ()))


def test_no_anchor_helps_with_something_forbidden():
    forbidden = set(things("forbidden")["thing"])
    for anchor in world_anchors(1, ()):
        assert not ("sure" in text(anchor) and forbidden & set(text(anchor)))


def test_refusals_refuse_taught_things_and_no_other():
    taught = set(things("forbidden").query("taught")["thing"])
    found = refusals(1, 100)
    assert 95 <= len(found) <= 105
    for anchor in found:
        assert anchor.answer.startswith("sorry ,") and "sure" not in anchor.answer.split()
        assert taught & set(text(anchor))


def test_draws_follow_the_seed():
    assert world_anchors(1, (), 50) == world_anchors(1, (), 50) != world_anchors(2, (), 50)
    assert refusals(1, 20) == refusals(1, 20) != refusals(2, 20)


def table(*rows):
    frame = pd.DataFrame(rows, columns=["arm", "learning_rate", "strength", "task_loss"])
    return frame.assign(protection=frame["strength"], method=frame["arm"].str.split("_").str[0])


def test_a_plain_arm_takes_the_least_loss():
    rows = [("lora", 0.1, 0.0, 2.0), ("lora", 0.2, 0.0, 1.5), ("full", 0.3, 0.0, 9.0)]
    chosen = choose(table(*rows))
    assert chosen == {"lora": {"learning_rate": 0.2, "strength": 0.0},
                      "full": {"learning_rate": 0.3, "strength": 0.0}}


def test_a_regularised_arm_takes_the_strongest_that_is_free():
    rows = [("lora", 0.1, 0.0, 2.00), ("lora_kl", 0.1, 0.3, 2.01), ("lora_kl", 0.1, 1.0, 2.09),
            ("lora_kl", 0.1, 3.0, 2.20)]
    assert choose(table(*rows))["lora_kl"]["strength"] == 1.0


def test_a_regularised_arm_without_a_free_candidate_takes_the_least_loss():
    rows = [("lora", 0.1, 0.0, 1.0), ("lora_kl", 0.1, 0.3, 2.0), ("lora_kl", 0.1, 1.0, 3.0)]
    assert choose(table(*rows))["lora_kl"]["strength"] == 0.3


def test_a_penalty_is_free_by_the_measure_of_its_own_method():
    rows = [("full", 0.1, 0.0, 1.0), ("lora", 0.1, 0.0, 2.0), ("lora_kl", 0.1, 0.3, 2.01),
            ("lora_kl", 0.1, 1.0, 2.05), ("norms_kl", 0.1, 0.3, 1.01), ("norms_kl", 0.1, 1.0, 1.2)]
    chosen = choose(table(*rows))
    assert chosen["lora_kl"]["strength"] == 1.0
    assert chosen["norms_kl"]["strength"] == 0.3  # no plain arm of its own: the best of all


def test_another_plain_arm_moves_no_choice():
    rows = [("lora", 0.1, 0.0, 2.0), ("lora_kl", 0.1, 0.3, 2.01), ("lora_kl", 0.1, 1.0, 2.05)]
    more = [*rows, ("lora_small", 0.1, 0.0, 1.5)]
    assert choose(table(*more))["lora_kl"] == choose(table(*rows))["lora_kl"]


@pytest.mark.parametrize(("exhibit", "section"), [
    ("03_candidates", "correction"), ("04_candidates", "debiasing"), ("06_candidates", "safety")])
def test_the_default_takes_the_settings_of_the_reference(exhibit, section):
    """By the committed candidates: else the same arm would be another one there."""
    tried = pd.read_csv(paths.FIGURES / "tables" / f"{exhibit}.csv")
    arms = getattr(load_profile("sandbox"), section).arms
    whole, part = choose(tried), choose(tried[tried["arm"].isin(list(arms))])
    assert set(part) == set(arms) and part.items() <= whole.items()


def test_the_strongest_budget_is_the_smallest():
    rows = [("full", 0.1, 0.0, 1.0), ("full_adaptive", 0.1, 0.1, 1.01),
            ("full_adaptive", 0.1, 0.02, 1.04), ("full_adaptive", 0.1, 0.005, 1.2)]
    frame = table(*rows)
    frame["protection"] = [0.0, 10.0, 50.0, 200.0]
    assert choose(frame)["full_adaptive"]["strength"] == 0.02
    assert choose(frame, tolerance=1.02)["full_adaptive"]["strength"] == 0.1


def test_a_penalty_that_costs_utility_is_not_free():
    rows = [("full", 0.1, 0.0, 1.0), ("full_kl", 0.1, 1.0, 1.01), ("full_kl", 0.2, 1.0, 1.0),
            ("full_kl", 0.2, 3.0, 1.04)]
    frame = table(*rows).assign(utility=[0.0, 0.96, 0.94, 0.5])
    assert choose(frame)["full_kl"] == {"learning_rate": 0.1, "strength": 1.0}
    assert choose(frame)["full"]["learning_rate"] == 0.1  # without a penalty only the loss counts
    assert choose(frame.drop(columns="utility"))["full_kl"]["strength"] == 3.0


def test_where_every_penalty_costs_utility_the_most_useful_free_one_is_taken():
    rows = [("full", 0.1, 0.0, 1.0), ("full_kl", 0.1, 1.0, 1.04), ("full_kl", 0.2, 3.0, 1.01),
            ("full_kl", 0.1, 9.0, 1.2)]
    frame = table(*rows).assign(utility=[0.0, 0.8, 0.7, 0.9])
    assert choose(frame)["full_kl"]["strength"] == 1.0


def test_loss_is_the_mean_of_plain_log_likelihoods(study):
    folder = world_models.tiny_base()
    loaded, losses = load(folder), []
    model, questions = loaded.model, validation_examples(study.profile, study.seed)
    for example in tokenised(loaded.tokenizer, questions):
        ids = torch.tensor([[*example.prompt, *example.answer]])
        with torch.no_grad():
            logp = model(ids).logits[0].log_softmax(-1)
        at = range(len(example.prompt) - 1, ids.shape[1] - 1)
        losses.append(-sum(float(logp[t, ids[0, t + 1]]) for t in at))
    assert task_losses(study, [folder], questions) == [pytest.approx(np.mean(losses), abs=1e-4)]


def test_one_row_a_candidate(study):
    found = candidates(study, world_models.tiny_base(), correction_task(study))
    assert found[["arm", "learning_rate", "strength"]].values.tolist() == [
        ["lora", 0.005, 0.0], ["full", 0.001, 0.0], ["lora_kl", 0.005, 1.0]]
    assert np.isfinite(found["task_loss"]).all() and found["task_loss"].nunique() > 1


def test_share_answered_counts_answers_that_are_the_models_own(study, base, model):
    asked = utility.questions(12, 9)
    said = generate(model, asked["prompt"].tolist(), 4)
    wrong = [f"{text} more" if i % 3 else text for i, text in enumerate(said)]
    assert answered(study, [base], asked.assign(answer=wrong)) == [pytest.approx(1 / 3)]


@pytest.mark.parametrize(("shares", "ratio"), [([0.8, 0.4, 0.8, 1.0], [0.5, 1.0, 1.25]),
                                               ([0.0, 0.0, 0.1, 0.0], [1.0, 1.0, 1.0])])
def test_utility_of_a_candidate_is_relative_to_the_base(study, base, monkeypatch, shares, ratio):
    monkeypatch.setattr(selection, "answered", lambda study, folders, asked: shares)
    task = replace(correction_task(study), general=utility.questions(4, 9))
    assert candidates(study, base, task)["utility"].tolist() == pytest.approx(ratio)
    assert "utility" not in candidates(study, base, replace(task, general=None))


def test_a_budget_protects_more_where_it_is_small(study):
    arms = {"lora": {"learning_rates": [0.01]},
            "lora_adaptive": {"regularizer": "adaptive", "learning_rates": [0.01],
                              "strengths": [0.02, 0.1]},
            "lora_l2sp": {"regularizer": "l2sp", "learning_rates": [0.01], "strengths": [2.0]}}
    task = replace(correction_task(study), arms={
        name: ArmSettings(**arm) for name, arm in arms.items()})
    found = candidates(study, world_models.tiny_base(), task)
    assert found["protection"].tolist() == [0.0, 50.0, 10.0, 2.0]


def test_rows_name_every_candidate():
    rows = candidate_rows(table(("lora", 0.1, 0.0, 2.0), ("lora_kl", 0.1, 0.3, 2.5)), 40)
    assert rows["condition"].tolist() == ["step size 0.1", "step size 0.1, strength 0.3"]
    assert rows["value"].tolist() == [2.0, 2.5] and set(rows["n"]) == {40}
