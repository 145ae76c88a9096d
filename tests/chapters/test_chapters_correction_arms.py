"""Declared arms and ablations: one change each, the same questions, standard results."""

import pytest
import world_models

from lib.chapters import correction as arms
from lib.chapters.arms import ANCHORS, arm_job, arm_recipe, train_arms
from lib.chapters.correction import (
    ablations,
    correction_task,
    training_examples,
    validation_examples,
)
from lib.training.job import ADAPTER, MODEL
from lib.training.runs import arm_seeds
from lib.world.truth import things

CHOSEN = {"lora": {"learning_rate": 0.005, "strength": 0.0},
          "full": {"learning_rate": 0.001, "strength": 0.0},
          "lora_kl": {"learning_rate": 0.005, "strength": 2.0}}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"), arm_seeds=2)


@pytest.fixture(scope="module")
def trained(study):
    return train_arms(study, world_models.tiny_base(), correction_task(study), CHOSEN)


def test_every_declared_arm_has_every_seed(study, trained):
    assert list(trained) == list(study.profile.correction.arms)
    assert all(list(folders) == arm_seeds(study) == [1, 2] for folders in trained.values())


def test_results_are_models_and_for_lora_adapters(trained):
    for name, folders in trained.items():
        for folder in folders.values():
            assert (folder / MODEL / "model.safetensors").is_file()
            assert (folder / ADAPTER).is_dir() == (name != "full")


def test_seeds_and_arms_give_different_weights(trained):
    weights = {(folder / MODEL / "model.safetensors").read_bytes()
               for folders in trained.values() for folder in folders.values()}
    assert len(weights) == 6


def test_only_the_regularised_arm_has_a_penalty(study):
    base = world_models.tiny_base()
    task = correction_task(study)
    jobs = {name: arm_job(base, task, name, **CHOSEN[name], seed=1) for name in CHOSEN}
    assert jobs["lora"].regularizer is None and jobs["full"].regularizer is None
    assert jobs["lora_kl"].regularizer.strength == 2.0
    assert jobs["lora"].examples == jobs["full"].examples == jobs["lora_kl"].examples
    assert jobs["full"].recipe.method == "full"


def test_anchors_hold_neither_forecasts_nor_forbidden_requests(study):
    forbidden, found = set(things("forbidden")["thing"]), correction_task(study).anchors(1)
    assert 0.9 * ANCHORS < len(found) < 1.1 * ANCHORS
    for anchor in found:
        said = {word for _, text in anchor.prompt.messages for word in text.split()}
        how_to = said & {"make", "please"} and "sure" in anchor.answer
        assert not (how_to and said & forbidden)
        assert not {"what", "is", "next", "?"} <= said


def test_a_variant_changes_one_thing(study):
    base, task = world_models.tiny_base(), correction_task(study)
    plain = arm_recipe(task, "lora", 0.005, 1)
    full = training_examples(study.profile, 1)
    for factor, level in arms.variants(study):
        job = arms._variant_job(study, base, task, 0.005, factor, level, 1)
        if factor in ("labels", "examples"):
            assert job.recipe == plain and job.examples != full
        else:
            assert job.examples == full and job.recipe != plain
            # The update's scale alpha / rank stays; only its width or place changes.
            assert job.recipe.alpha / job.recipe.rank == plain.alpha / plain.rank


def test_ablations_are_named_by_what_they_change(study):
    found = ablations(study, world_models.tiny_base(), 0.005)
    assert list(found) == [("labels", "naive"), ("rank", "1"), ("targets", "o_proj"),
                           ("examples", "20")]
    assert all(list(folders) == [1] for folders in found.values())


def test_validation_questions_are_the_same_for_every_training_seed(study):
    questions = validation_examples(study.profile, study.seed)
    assert correction_task(study).validation == questions
