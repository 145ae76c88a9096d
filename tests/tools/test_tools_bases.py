"""The command on bases: what is shipped, and training anew."""

import json

import pandas as pd
import pytest
from world_models import smoke_study

from lib.chapters.base import made
from lib.errors import InvalidValueError
from lib.study.store import verify
from lib.world import bases as world
from lib.world.bases import STAGES, fits, shipped
from tools import bases

FEW = {"pretrain.steps": 1, "pretrain.refusal_steps": 3}


@pytest.fixture
def study(tmp_path, monkeypatch):
    for module in (bases, world):
        monkeypatch.setattr(module, "BASES", tmp_path / "bases")
    study = smoke_study(tmp_path / "runs", **FEW)
    monkeypatch.setattr(bases, "Study", lambda *_, **__: study)
    return study


def test_one_trained_here_stands_beside_the_shipped_ones(study):
    bases.retrain([2, 5])
    text, met = bases.check(2)
    shown = {line.split(" | ")[0].strip("| "): line for line in text.splitlines()}
    assert "refusal\\_margin" in shown and not met  # after three steps


def test_retraining_ships_whole_bases_that_fit(study):
    assert bases.shipped_numbers() == []
    bases.retrain([2, 5])
    assert bases.shipped_numbers() == [2, 5]
    assert sorted(path.name for path in shipped(2).iterdir()) == sorted([*STAGES, "made.json"])
    for stage in STAGES:
        verify(shipped(2) / stage, made(2)["keys"][stage], bytes=True)
    assert fits(study, 2)


def test_what_a_base_shows_lies_beside_it(study):
    bases.retrain([2])
    about = json.loads((shipped(2) / "made.json").read_text())
    shown = pd.DataFrame(about["quality"]).set_index(["metric", "condition"])["value"]
    assert {"refusal_margin", "over_refusal", "pronoun_slope"} <= {m for m, _ in shown.index}
    assert [step for step, _ in about["curve"]["aligned"]] == [1, 2, 3]
    assert about["processor"] and all(second >= 0 for second in about["seconds"].values())


def test_the_list_says_which_bases_fit(study, tmp_path, monkeypatch):
    bases.retrain([2])
    assert bases.listing([]).count("| yes |") == 1
    other = smoke_study(tmp_path / "other", **FEW | {"pretrain.steps": 2})
    monkeypatch.setattr(bases, "Study", lambda *_, **__: other)
    assert "--retrain 2" in bases.listing([2])
    with pytest.raises(InvalidValueError, match="--retrain 7"):
        bases.listing([7])


def test_a_retrained_judge_is_shipped_and_fits(study, tmp_path, monkeypatch):
    monkeypatch.setattr(bases.judge, "SHIPPED", tmp_path / "judge")
    bases.retrain_judge()
    assert study.store.is_shipped(**bases.judge.artefact(study))
