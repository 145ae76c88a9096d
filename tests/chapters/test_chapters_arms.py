"""An arm's line in the profile decides the recipe and the regulariser, and nothing else does."""

from dataclasses import replace

import pytest
import world_models

from lib.chapters.arms import MAKERS, arm_job, penalty, recipe
from lib.chapters.correction import correction_task
from lib.errors import InvalidValueError
from lib.study.settings import ArmSettings
from lib.training.penalties.tokenwise import DEEP
from lib.training.recipe import Example


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"))


def arm(**line):
    return ArmSettings(**{"learning_rates": [0.01]} | line)


def test_an_arm_has_the_profiles_shape_unless_it_says_otherwise(study):
    task = correction_task(study)
    given = study.profile.finetune
    plain = recipe(study, task, arm(), 0.01, 3)
    assert (plain.rank, plain.targets) == (given.rank, tuple(given.targets))
    assert (plain.steps, plain.batch_size, plain.seed) == (given.steps, given.batch_size, 3)
    other = recipe(study, task, arm(rank=8, targets=["o_proj"]), 0.01, 3)
    assert (other.rank, other.targets) == (8, ("o_proj",))
    assert other.alpha / other.rank == plain.alpha / plain.rank


def test_methods_come_from_the_line(study):
    task = correction_task(study)
    assert recipe(study, task, arm(method="norms"), 0.01, 1).method == "norms"


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_every_kind_of_regulariser_takes_its_strength(study, kind):
    anchor = (Example((1, 2), (3,)),)
    task = replace(correction_task(study), anchors=lambda seed: anchor,
                   reminders=lambda seed: anchor, unaligned=world_models.tiny_base())
    made = penalty(task, kind, 1, 0.5)
    named = {"adaptive": "budget", "projection": "threshold", "average": "back", "ema": "decay"}
    found = named.get(kind, "strength")
    if kind in ("tokenwise", "uniform"):
        assert made.betas == (tuple(0.5 * beta for beta in DEEP) if kind == "tokenwise" else (0.5,))
    else:
        assert getattr(made, found) == 0.5


@pytest.mark.parametrize("examples, anchors", [(1, 1), (10, 5), (16, 8), (64, 8)])
@pytest.mark.parametrize("kind", ["kl", "adaptive", "mix"])
def test_anchors_are_half_as_many_as_examples_and_at_most_eight(study, kind, examples, anchors):
    one = (Example((1, 2), (3,)),)
    task = replace(correction_task(study), anchors=lambda seed: one, reminders=lambda seed: one,
                   batch_size=examples)
    assert penalty(task, kind, 1, 0.5).per_step == anchors


def test_every_kind_that_a_profile_can_name_exists():
    named = set(ArmSettings.model_fields["regularizer"].annotation.__args__)
    assert named == {"none", *MAKERS}


@pytest.mark.parametrize(("kind", "missing"), [("mix", "reminders"), ("projection", "unaligned")])
def test_a_task_without_what_a_regulariser_needs_is_named(study, kind, missing):
    with pytest.raises(InvalidValueError, match=missing):
        penalty(correction_task(study), kind, 1, 0.5)


def test_jobs_are_labelled_by_task_arm_and_seed(study):
    job = arm_job(study, world_models.tiny_base(), correction_task(study), "lora", 0.005, 0.0, 7)
    assert job.label == "correction: lora, seed 7" and job.regularizer is None
