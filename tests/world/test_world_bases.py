"""Bases: shipped where they fit, trained where they do not; both are the same models."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from world_models import smoke_study

from lib.errors import CorruptArtefactError
from lib.models.folders import load
from lib.study.notebook import Study
from lib.study.paths import BASES
from lib.study.store import RECORD, verify
from lib.world import bases, pretrain
from lib.world.bases import STAGES, base_model, fits, shipped, trained, unaligned_model

FEW = {"pretrain.steps": 1, "pretrain.refusal_steps": 3, "bases.numbers": [3, 4]}


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """A study of tiny bases with nothing shipped yet."""
    monkeypatch.setattr(bases, "BASES", tmp_path / "shipped")
    return smoke_study(tmp_path / "runs", **FEW)


def ship(study, number, where=None):
    for stage, folder in trained(study, number).items():
        shutil.copytree(folder, (where or shipped(number)) / stage)


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def test_bases_of_a_profile_differ_and_are_made_once(toys, monkeypatch):
    assert not fits(toys, 3)
    first = bases.base_models(toys)
    assert list(first) == [3, 4] and weights(first[3]) != weights(first[4])
    monkeypatch.setattr(pretrain, "train", None)
    assert bases.base_models(toys) == first


def test_a_shipped_base_is_used_and_is_what_training_gives(toys, monkeypatch, tmp_path):
    ship(toys, 3)
    made, fresh = trained(toys, 3), smoke_study(tmp_path / "other", **FEW)
    monkeypatch.setattr(pretrain, "train", None)
    for stage, model in zip(STAGES, (unaligned_model, base_model), strict=True):
        folder = model(fresh, 3)
        assert folder.is_relative_to(fresh.run_dir) and weights(folder) == weights(made[stage])
        assert folder.name == made[stage].name  # the same key
    assert fits(fresh, 3)


@pytest.mark.parametrize("change", [{"pretrain.refusal_steps": 4}, {"pretrain.steps": 2},
                                    {"forecasting.history": 7}, {"model.hidden": 16}])
def test_a_base_of_other_settings_is_not_used(toys, change, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("STUDY_PROGRESS", raising=False)
    ship(toys, 3)
    other = smoke_study(tmp_path / "other", **FEW | change)
    assert not fits(other, 3)
    base_model(other, 3)
    assert "instead" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"pretrain.workers": 2}, {"model.dtype": "bfloat16"},
                                    {"seed": 5}, {"evaluation.items": 3}])
def test_what_decides_no_weight_keeps_a_shipped_base(toys, change, tmp_path):
    ship(toys, 3)
    assert fits(smoke_study(tmp_path / "other", **FEW | change), 3)


def test_a_damaged_base_is_not_used(toys, tmp_path):
    ship(toys, 3)
    file = shipped(3) / "aligned" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptArtefactError):
        verify(file.parent)
    fresh = smoke_study(tmp_path / "other", **FEW)
    assert not fits(fresh, 3)
    assert weights(base_model(fresh, 3)) == weights(trained(toys, 3)["aligned"])


def test_weights_are_kept_as_bfloat16_and_loaded_exactly(toys):
    folder = base_model(toys, 3)
    kept = load_file(folder / "model.safetensors")
    assert {w.dtype for w in kept.values()} == {torch.bfloat16}
    model = load(folder).model
    for name, weight in model.named_parameters():
        if name in kept:
            assert weight.dtype == torch.float32 and torch.equal(weight, kept[name].float())


def numbers():
    return sorted(int(path.name.removeprefix("base_")) for path in BASES.glob("base_*"))


@pytest.mark.parametrize("number", numbers())
def test_shipped_bases_fit_the_code(number, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    study = Study("sandbox", notebook="00")
    assert fits(study, number), f"retrain with: side-effects bases --retrain {number}"
    for stage in STAGES:
        verify(shipped(number) / stage, bytes=True)


def test_shipped_bases_are_those_of_the_profiles_and_small():
    assert {0, *range(1, 13)} <= set(numbers())
    for number in numbers():
        about = json.loads((shipped(number) / "made.json").read_text())
        assert about["base"] == number and {"processor", "seconds", "curve"} <= set(about)
        for stage in STAGES:
            assert (shipped(number) / stage / "model.safetensors").stat().st_size < 1e6
            assert about["keys"][stage] == json.loads(
                (shipped(number) / stage / RECORD).read_text())["key"]
