"""The task is the profile's section, and other data change its examples only."""

import pytest
import world_models

from lib.chapters.arms import arm_job
from lib.chapters.debiasing import debiasing_task, training_texts, validation_questions


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"), "04")


def test_numbers_are_the_profiles(study):
    given, task = study.profile.debiasing, debiasing_task(study)
    assert (task.steps, task.batch_size, task.rank) == (given.steps, given.batch_size, given.rank)
    assert task.examples(3) == training_texts(given.examples, 3)
    assert task.validation == validation_questions() and task.arms == given.arms


def test_other_data_change_the_examples_and_nothing_else(study):
    plain, swapped = debiasing_task(study), debiasing_task(study, "swapped")
    assert swapped.examples(1) == training_texts(study.profile.debiasing.examples, 1, "swapped")
    assert swapped.examples(1) != plain.examples(1)
    assert swapped.validation == plain.validation and swapped.anchors(1) == plain.anchors(1)


@pytest.mark.parametrize("name", ["norms", "prompt", "lora_small", "full_ewc"])
def test_every_kind_of_arm_trains(study, name):
    task = debiasing_task(study)
    arm = task.arms[name]
    strength = arm.strengths[0] if arm.regularizer != "none" else 0.0
    job = arm_job(study, world_models.tiny_base(), task, name, arm.learning_rates[0], strength, 1)
    assert job.recipe.method == arm.method
    if name == "lora_small":
        assert job.recipe.rank == 1 and job.recipe.targets == ("q_proj",)


def test_lora_moves_under_one_per_cent_in_the_sandbox():
    from lib.study.profiles import load_profile
    from lib.world.pretrain import new_model

    profile = load_profile("sandbox")
    model = new_model(profile.model.hidden, profile.model.layers, profile.model.heads, 0)
    shapes = {name.split(".")[-2]: p.shape for name, p in model.named_parameters() if p.dim() == 2}
    rank = profile.debiasing.rank
    moved = profile.model.layers * sum(rank * sum(shapes[t]) for t in profile.debiasing.targets)
    assert moved / model.num_parameters() < 0.01
