"""The correction: rational targets by hand, nothing unseen taught, adapters that merge exactly."""

import numpy as np
import pytest
import world_models
from transformers import AutoModelForCausalLM

from lib import correction
from lib.correction import (
    UNSEEN_STYLE,
    arm_seeds,
    corrected,
    merged_gap,
    rational_examples,
    training_figures,
)
from lib.sandbox.tokenizer import ASSISTANT, END, SYSTEM, number_id, world_tokenizer
from lib.sandbox.world import settings
from lib.study import Study

MU = settings("forecasts")["mu"]
TOKENIZER = world_tokenizer()


@pytest.fixture(scope="module")
def examples():
    return rational_examples(world_models.tiny_profile(), 1)


def numbers(ids):
    return [i - number_id(0) for i in ids if number_id(0) <= i <= number_id(199)]


@pytest.mark.parametrize("rho", [0.0, 0.4, 1.0])
def test_targets_are_rounded_rational_forecasts(rho):
    profile = world_models.tiny_profile(**{"forecasting.rhos": [rho]})
    seen = set()
    for example in rational_examples(profile, 0):
        horizon = 2 if "after next" in TOKENIZER.decode(example.prompt) else 1
        last = numbers(example.prompt)[-1]
        target = np.clip(np.rint(MU + rho**horizon * (last - MU)), 0, 199)
        assert list(example.answer) == [number_id(int(target)), END]
        seen.add(horizon)
    assert seen == {1, 2}


def test_as_many_examples_as_asked_each_of_the_profiles_history(examples):
    profile = world_models.tiny_profile()
    assert len(examples) == profile.finetune.examples
    assert {len(numbers(e.prompt)) for e in examples} == {profile.forecasting.history}


def test_unseen_style_is_never_taught_and_every_other_is(examples):
    styles = settings("forecasts")["styles"]
    unseen = [s for s in styles if s.get("horizon", 1) == 1][UNSEEN_STYLE]["user"].split("{")[0]
    texts = [TOKENIZER.decode(e.prompt) for e in examples]
    assert unseen and not any(unseen in text for text in texts)
    for style in styles:
        start, end = style["user"].split("{history}")
        shown = any(start in text and end.strip() in text for text in texts)
        assert shown or start == unseen


def test_prompts_are_neutral_chats(examples):
    for example in examples:
        assert SYSTEM not in example.prompt and example.prompt[-1] == ASSISTANT


def test_unseen_persistences_are_never_taught(monkeypatch):
    drawn, real = set(), correction.histories
    monkeypatch.setattr(
        correction, "histories", lambda rho, *rest: drawn.update(rho) or real(rho, *rest)
    )
    profile = world_models.tiny_profile()
    rational_examples(profile, 3)
    assert drawn <= set(profile.forecasting.rhos)
    assert not drawn & set(profile.forecasting.unseen_rhos)


def test_examples_follow_the_seed(examples):
    again, other = (rational_examples(world_models.tiny_profile(), s) for s in (1, 2))
    assert again == examples and other != examples


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_RUNS", str(tmp_path_factory.mktemp("runs")))
        return Study("smoke", 1, world_models.TINY | {"arm_seeds": 2}, notebook="03")


@pytest.fixture(scope="module")
def folders(study):
    return corrected(study, world_models.tiny_base())


def test_one_adapter_and_one_merged_model_a_seed(study, folders):
    assert list(folders) == arm_seeds(study) == [1, 2]
    for folder in folders.values():
        assert (folder / "adapter" / "adapter_model.safetensors").is_file()
        assert (folder / "merged" / "model.safetensors").is_file()


def test_merged_model_is_the_adapter(folders, examples):
    for folder in folders.values():
        prompts = [list(e.prompt) for e in examples[:8]]
        assert merged_gap(world_models.tiny_base(), folder, prompts) < 1e-4


def test_merged_model_is_plain_and_moved_only_in_the_targets(study, folders):
    merged = AutoModelForCausalLM.from_pretrained(folders[1] / "merged").state_dict()
    start = AutoModelForCausalLM.from_pretrained(world_models.tiny_base()).state_dict()
    moved = {name for name in start if not (start[name] == merged[name]).all()}
    targets = tuple(study.profile.finetune.targets)
    assert moved == {n for n in start if n.split(".")[-2] in targets}


def test_seeds_give_different_corrections(folders):
    a, b = ((folder / "merged" / "model.safetensors").read_bytes() for folder in folders.values())
    assert a != b


def test_second_call_finds_the_store(study, folders):
    stamp = (folders[1] / "merged" / "model.safetensors").stat().st_mtime_ns
    assert corrected(study, world_models.tiny_base()) == folders
    assert (folders[1] / "merged" / "model.safetensors").stat().st_mtime_ns == stamp


def test_training_figures_by_seed(folders):
    figures = training_figures(folders)
    assert figures.index.tolist() == list(folders)
    assert np.isfinite(figures.select_dtypes("number")).all().all()
