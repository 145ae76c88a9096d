"""Frames of many models: in order, kept, and handed back to their arms."""

import os
from pathlib import Path

import pandas as pd
import pytest

from lib.measures.measured import model_frames, regrouped
from lib.study import workers
from lib.study.notebook import Study


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    return Study("smoke", 1, {"pretrain.workers": 2}, notebook="02")


def sized(folder: Path, factor: int) -> pd.DataFrame:
    return pd.DataFrame({"name": [folder.name], "value": [factor * len(folder.name)],
                         "process": [os.getpid()]})


def ask(study, names, factor=2):
    folders = [study.run_dir / "models" / name for name in names]
    return model_frames(study, "sized", folders, sized, [factor], inputs={"factor": factor},
                        code=["lib.errors"])


def test_frames_come_in_the_order_of_the_models_from_other_processes(study):
    frames = ask(study, ["ccc", "a", "bb"])
    assert [f.loc[0, "name"] for f in frames] == ["ccc", "a", "bb"]
    assert [f.loc[0, "value"] for f in frames] == [6, 2, 4]
    assert os.getpid() not in {f.loc[0, "process"] for f in frames}


def test_what_is_in_the_store_is_not_measured_again(study, monkeypatch):
    first = ask(study, ["a", "bb"])
    monkeypatch.setattr(workers, "_pool", lambda _: pytest.fail("measured again"))
    for before, after in zip(first, ask(study, ["a", "bb"]), strict=True):
        pd.testing.assert_frame_equal(before, after)


def test_other_inputs_are_another_frame(study):
    assert [f.loc[0, "value"] for f in ask(study, ["a"], factor=5)] == [5]
    assert [f.loc[0, "value"] for f in ask(study, ["a"], factor=3)] == [3]


def test_every_arm_gets_its_own_results_from_one_call():
    calls = []

    def measure(folders):
        calls.append(folders)
        return [folder.name for folder in folders]

    arms = {"base": [Path("x")], ("full", 1): iter([Path("y"), Path("z")]), "none": []}
    assert regrouped(arms, measure) == {"base": ["x"], ("full", 1): ["y", "z"], "none": []}
    assert calls == [[Path("x"), Path("y"), Path("z")]]
