"""Merging: exact on a trained adapter, caught when it is not, timed in turns."""

import pytest
import world_models
from transformers import AutoModelForCausalLM

from lib.chapters.arms import arm_job
from lib.chapters.correction import correction_task, latency, merged_gap
from lib.training.runs import ADAPTER, MODEL, train_all


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def job(study):
    return arm_job(study, world_models.tiny_base(), correction_task(study), "lora", 0.005, 0.0, 1)


@pytest.fixture(scope="module")
def folder(study, job):
    return train_all(study, {"one": job})["one"]


@pytest.fixture(scope="module")
def prompts(job):
    return [list(e.prompt) for e in job.examples[:8]]


def test_merged_model_is_the_adapter(folder, prompts):
    assert merged_gap(folder, prompts) < 1e-5


def test_a_merge_of_other_weights_is_caught(folder, prompts):
    other = folder.parent / "other"  # beside it: an adapter names its base by relative path
    other.mkdir()
    (other / ADAPTER).symlink_to(folder / ADAPTER)
    (other / MODEL).symlink_to(world_models.tiny_base())
    assert merged_gap(other, prompts) > 1e-4


def test_merged_model_is_plain_and_moved_only_in_the_targets(study, folder):
    merged = AutoModelForCausalLM.from_pretrained(folder / MODEL).state_dict()
    start = AutoModelForCausalLM.from_pretrained(world_models.tiny_base()).state_dict()
    moved = {name for name in start if not (start[name] == merged[name]).all()}
    targets = tuple(study.profile.finetune.targets)
    assert moved == {n for n in start if n.split(".")[-2] in targets}


def test_latency_is_relative_to_the_base(folder, prompts):
    found = latency(world_models.tiny_base(), folder, prompts, repeats=2)
    assert found["base"] == 1.0 and (found > 0).all()
    assert list(found.index) == ["base", "adapter", "merged"]
