"""Merging: exact on a trained adapter, caught when it is not, timed in turns."""

import pytest
import world_models
from transformers import AutoModelForCausalLM

from lib.chapters.arms import arm_job
from lib.chapters.correction import correction_task, latency, merged, merged_gap
from lib.models.folders import load
from lib.training.job import MODEL
from lib.training.runs import train_all


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def job(study):
    return arm_job(world_models.tiny_base(), correction_task(study), "lora", 0.005, 0.0, 1)


@pytest.fixture(scope="module")
def folder(study, job):
    return train_all(study, {"one": job})["one"]


@pytest.fixture(scope="module")
def prompts(job):
    return [example.prompt for example in job.examples[:8]]


def test_merged_model_is_the_adapter(folder, prompts):
    assert merged_gap(world_models.tiny_base(), folder, prompts) < 1e-5


def test_a_merge_into_another_model_is_caught(study, folder, prompts):
    other = train_all(study, {"full": arm_job(
        world_models.tiny_base(), correction_task(study), "full", 0.001, 0.0, 1)})["full"]
    assert merged_gap(other / MODEL, folder, prompts) > 1e-4


def test_what_is_kept_is_what_merging_gives(folder):
    kept = load(folder / MODEL).model.state_dict()
    with merged(world_models.tiny_base(), folder) as whole:
        assert all(kept[name].equal(w) for name, w in whole.model.state_dict().items())


def test_merged_model_is_plain_and_moved_only_in_the_targets(study, folder):
    after = AutoModelForCausalLM.from_pretrained(folder / MODEL).state_dict()
    start = AutoModelForCausalLM.from_pretrained(world_models.tiny_base()).state_dict()
    moved = {name for name in start if not (start[name] == after[name]).all()}
    targets = tuple(study.profile.finetune.targets)
    assert moved == {n for n in start if n.split(".")[-2] in targets}


def test_latency_is_relative_to_the_base(folder, prompts):
    found = latency(world_models.tiny_base(), folder, prompts, repeats=2)
    assert found["base"] == 1.0 and (found > 0).all()
    assert list(found.index) == ["base", "adapter", "merged"]
