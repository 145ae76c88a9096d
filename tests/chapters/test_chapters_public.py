"""A real model's exhibits beside the planted ones."""

import pandas as pd
import pytest

from lib.chapters.public import beside
from lib.study import paths
from lib.study.notebook import COLUMNS, Study, csv_text


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Writes an exhibit of one arm into a folder: of this run, or of the real model's."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(paths, "REAL_FIGURES", tmp_path / "real")

    def write(folder, *rows):
        (folder / "tables").mkdir(parents=True)
        table = pd.DataFrame(rows).reindex(columns=[*COLUMNS, "attack"])
        (folder / "tables" / "03_x.csv").write_text(csv_text(table, COLUMNS))

    return write


def row(arm, value, condition=0.4, metric="m", attack="none"):
    return {"arm": arm, "condition": condition, "metric": metric, "value": value, "attack": attack}


def test_rows_of_both_models_stand_beside_each_other(tables):
    study = Study("sandbox", notebook="03")
    tables(study.run_dir / "figures", row("full", 1.0), row("full", 1.5, 0.8), row("other", 9.0),
           row("full", 9.0, metric="n"))
    tables(paths.REAL_FIGURES, row("lora", 2.0), row("lora", 2.5, 0.8))
    found = beside(study, "03_x", {"metric": "m"}, ["full"])
    assert found["arm"].tolist() == ["planted models"] * 2 + ["real model"] * 2
    assert found["value"].tolist() == [1.0, 1.5, 2.0, 2.5]
    assert found["condition"].tolist() == [0.4, 0.8, 0.4, 0.8]
    assert beside(study, "03_x", {"metric": "none"}).empty


def test_rows_are_named_by_what_tells_them_apart(tables):
    study = Study("sandbox", notebook="03")
    tables(study.run_dir / "figures", row("full_kl", 1.0, attack="a"), row("full", 1.0, attack="b"))
    found = beside(study, "03_x", {"metric": "m"})
    assert found["condition"].tolist() == ["kl, a", "plain, b"]
    assert beside(study, "03_x", {"attack": "a"})["condition"].tolist() == ["kl"]


def test_without_a_real_run_the_planted_rows_stand_alone(tables):
    study = Study("sandbox", notebook="03")
    tables(study.run_dir / "figures", row("full", 1.0))
    assert beside(study, "03_x", {"metric": "m"})["arm"].tolist() == ["planted models"]


def test_a_run_on_a_real_model_shows_its_own_rows(tables):
    study = Study("real", notebook="03")
    tables(study.run_dir / "figures", row("lora", 3.0))
    assert beside(study, "03_x", {"metric": "m"})["arm"].tolist() == ["real model"]
