"""Frames of many models: in order, kept by what decides them, and handed back to their arms."""

import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_models

from lib.measures.asked import asked
from lib.measures.effects import AXES
from lib.measures.measured import (
    by_arm,
    everyone,
    model_frame,
    model_frames,
    run_table,
)
from lib.measures.overreaction import forecast_now
from lib.measures.probes import probed
from lib.measures.pronouns import pronouns
from lib.measures.safety import refusals
from lib.models.folders import LoadedModel
from lib.models.likelihood import sequence_logprobs
from lib.statistics.bases import RUN_COLUMNS
from lib.study import paths, workers
from lib.study.design import Run
from lib.study.fingerprint import Sources
from lib.study.keys import Code
from lib.study.notebook import Study
from lib.study.store import here
from lib.training.gradients import word_gradients

SCORES = [forecast_now, probed, pronouns, refusals, sequence_logprobs, word_gradients,
          *(axis.measured for axis in AXES.values())]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """Three folders of tiny models that know their own names."""
    root = tmp_path_factory.mktemp("models")
    loaded = tiny_models.word_model()
    for name in ("a", "bb", "ccc"):
        loaded.model.config.study_name = name
        loaded.model.save_pretrained(root / name)
        loaded.tokenizer.save_pretrained(root / name)
    return root


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    return Study("smoke", 1, {"pretrain.workers": 2}, notebook="02")


def sized(model: LoadedModel, items: pd.DataFrame, factor: int) -> pd.DataFrame:
    name = model.model.config.study_name
    return items.assign(name=name, value=factor * len(name), process=os.getpid())


ITEMS = pd.DataFrame({"history": [[1, 2], [3, 4]], "rho": [0.2, 0.8], "cell": [0.0, 1.0]})


def ask(study, models, names, items=ITEMS, factor=2):
    return model_frames(study, "sized", [models / name for name in names], sized, items, factor)


def test_frames_come_in_the_order_of_the_models_from_other_processes(study, models):
    frames = ask(study, models, ["ccc", "a", "bb"])
    assert [f.loc[0, "name"] for f in frames] == ["ccc", "a", "bb"]
    assert [f.loc[1, "value"] for f in frames] == [6, 2, 4]
    assert os.getpid() not in {f.loc[0, "process"] for f in frames}


def test_what_is_in_the_store_is_not_measured_again(study, models, monkeypatch):
    first = ask(study, models, ["a", "bb"])
    monkeypatch.setattr(workers, "_client", lambda *_: pytest.fail("measured again"))
    for before, after in zip(first, ask(study, models, ["a", "bb"]), strict=True):
        pd.testing.assert_frame_equal(before, after)


@pytest.mark.parametrize("changed", [
    ITEMS.assign(history=[[2, 1], [4, 3]]), ITEMS.assign(rho=[0.8, 0.2]),
    ITEMS.assign(cell=[1.0, 0.0]), ITEMS.iloc[::-1].reset_index(drop=True),
])
def test_items_with_other_content_are_asked_anew(study, models, changed):
    """Reversed histories, relabelled persistences and cells once returned the old frames."""
    ask(study, models, ["a"])
    found = ask(study, models, ["a"], changed)[0]
    columns = list(changed.columns)
    assert found[columns].map(lambda x: list(x) if hasattr(x, "tolist") and x.ndim else x).equals(
        changed)
    assert len(study.store.used) == 2 and len(set(study.store.used)) == 2


def test_other_arguments_are_another_frame(study, models):
    assert [f.loc[0, "value"] for f in ask(study, models, ["a"], factor=5)] == [5]
    assert [f.loc[0, "value"] for f in ask(study, models, ["a"], factor=3)] == [3]


def test_one_model_is_found_among_many(study, models):
    many = ask(study, models, ["a", "bb"])
    one = model_frame(study, "sized", models / "bb", here, sized, ITEMS, 2)
    pd.testing.assert_frame_equal(one, many[1])


ARMS = {"base": {Run(1, 0): Path("x")},
        ("full", 1): {Run(1, 1): Path("y"), Run(2, 1): Path("z")}, "none": {}}


def test_every_arm_gets_what_was_found_of_its_own_models():
    assert everyone(ARMS) == [Path("x"), Path("y"), Path("z")]
    found = (folder.name for folder in everyone(ARMS))
    assert by_arm(ARMS, found) == {
        "base": {Run(1, 0): "x"}, ("full", 1): {Run(1, 1): "y", Run(2, 1): "z"}, "none": {}}


def test_metric_tables_of_every_run_make_one_run_table():
    """By hand: two metrics each of three models, under the names that exhibits have."""
    def table(letter):
        return pd.DataFrame({"name": ["a", "b"], "rho": [0.2, 0.4], "n": 9, "low": -1.0,
                             "se": np.nan, "df": np.nan, "clusters": 9,
                             "value": [ord(letter), 2 * ord(letter)]})

    frames = by_arm(ARMS, (folder.name for folder in everyone(ARMS)))
    found = run_table(frames, table)
    assert list(found.columns) == RUN_COLUMNS and found.index.tolist() == list(range(6))
    assert found["arm"].tolist() == ["base"] * 2 + [("full", 1)] * 4
    assert found["base"].tolist() == [1, 1, 1, 1, 2, 2]
    assert found["seed"].tolist() == [0, 0, 1, 1, 1, 1]
    assert found["metric"].tolist() == ["a", "b"] * 3
    assert found["condition"].tolist() == [0.2, 0.4] * 3
    assert found["value"].tolist() == [120, 240, 121, 242, 122, 244]
    assert found["se"].isna().all() and (found["n"] == 9).all()


# --- what a measurement is keyed by, in a copy of the tree --------------------------------------

@pytest.fixture
def prints(tmp_path):
    """Hash of each score's code, as a process would see it that starts now."""
    for name in ("lib", "data"):
        shutil.copytree(paths.ROOT / name, tmp_path / name,
                        ignore=shutil.ignore_patterns("__pycache__"))

    def found() -> list[str]:
        sources = Sources(tmp_path)
        return [sources.code(Code(partial(asked, score, Path("x"))).modules) for score in SCORES]

    return found


def changed(prints, path: Path) -> list[int]:
    before = prints()
    path.write_text(path.read_text() + "\nNEW = 1\n")
    return [i for i, (x, y) in enumerate(zip(before, prints(), strict=True)) if x != y]


def test_an_edited_chapter_asks_no_model_again(prints, tmp_path):
    chapters = list((tmp_path / "lib" / "chapters").glob("*.py"))
    assert len(chapters) > 5
    before = prints()
    for path in chapters:
        path.write_text(path.read_text() + "\nNEW = 1\n")
    assert prints() == before


def test_an_edit_is_seen_by_the_scores_that_run_it(prints, tmp_path):
    lib = tmp_path / "lib"
    everyone = list(range(len(SCORES)))
    assert changed(prints, lib / "measures" / "asked.py") == everyone
    assert changed(prints, lib / "models" / "folders.py") == everyone
    likelihood = changed(prints, lib / "models" / "likelihood.py")
    assert SCORES.index(sequence_logprobs) in likelihood
    assert SCORES.index(word_gradients) not in likelihood
    assert changed(prints, lib / "training" / "gradients.py") == [SCORES.index(word_gradients)]
    own = len(SCORES) - len(AXES) + list(AXES).index("toxicity")
    assert changed(prints, lib / "measures" / "toxicity.py") == [own]
    for table in ("measures/effects.py", "measures/measured.py", "statistics/bases.py"):
        assert changed(prints, lib / table) == [], table


def test_a_changed_share_of_the_world_reaches_all_that_depends_on_it(prints, tmp_path):
    before = prints()
    path = tmp_path / "data" / "sandbox" / "occupations.yml"
    path.write_text(path.read_text() + "# the file's bytes count\n")
    apart = {SCORES.index(sequence_logprobs), SCORES.index(word_gradients)}
    assert {i for i, (x, y) in enumerate(zip(before, prints(), strict=True)) if x == y} == apart
