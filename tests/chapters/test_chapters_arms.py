"""An arm's line in the profile decides the recipe and the regulariser, and nothing else does."""

from dataclasses import replace
from pathlib import Path

import pytest
import world_models

from lib.chapters.arms import (
    ANCHORS,
    MAKERS,
    arm_job,
    arm_recipe,
    penalty,
    refusals,
    world_anchors,
)
from lib.chapters.attacks import Attack, attack_job
from lib.chapters.correction import correction_task
from lib.errors import InvalidValueError
from lib.models.chat import Example, Prompt
from lib.study.settings import ArmSettings
from lib.training.penalties.tokenwise import DEEP
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


def test_memory_is_saved_as_the_profile_says(tmp_path):
    changes = {"finetune.accumulation": 4, "finetune.checkpointing": True,
               "model.dtype": "bfloat16"}
    study = world_models.smoke_study(tmp_path, "05", **changes)
    attack = attack_job(study, Path("base"), Attack("benign"), 1).recipe
    for recipe in (made(study), attack):
        assert (recipe.accumulation, recipe.checkpointing, recipe.precision) == (
            4, True, "bfloat16")


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_every_kind_of_regulariser_takes_its_strength(study, kind):
    task = replace(correction_task(study), anchors=lambda seed: ONE,
                   reminders=lambda seed: ONE, unaligned=world_models.tiny_base())
    held = penalty(task, kind, 1, 0.5)
    named = {"adaptive": "budget", "projection": "threshold", "average": "back", "ema": "decay"}
    found = named.get(kind, "strength")
    if kind in ("tokenwise", "uniform"):
        assert held.betas == (tuple(0.5 * beta for beta in DEEP) if kind == "tokenwise" else (0.5,))
    else:
        assert getattr(held, found) == 0.5


@pytest.mark.parametrize("examples, anchors", [(1, 1), (10, 5), (16, 8), (64, 8)])
@pytest.mark.parametrize("kind", ["kl", "adaptive", "mix"])
def test_anchors_are_half_as_many_as_examples_and_at_most_eight(study, kind, examples, anchors):
    plain = correction_task(study)
    task = replace(plain, anchors=lambda seed: ONE, reminders=lambda seed: ONE,
                   recipe=replace(plain.recipe, batch_size=examples))
    assert penalty(task, kind, 1, 0.5).per_step == anchors


def test_every_kind_that_a_profile_can_name_exists():
    named = set(ArmSettings.model_fields["regularizer"].annotation.__args__)
    assert named == {"none", *MAKERS}


@pytest.mark.parametrize(("kind", "missing"), [("mix", "reminders"), ("projection", "unaligned")])
def test_a_task_without_what_a_regulariser_needs_is_named(study, kind, missing):
    with pytest.raises(InvalidValueError, match=missing):
        penalty(correction_task(study), kind, 1, 0.5)


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
