"""Rows of the correction's exhibits, on forecasters whose answers are known."""

import numpy as np
import pytest
import world_models

from lib.chapters import correction as report
from lib.chapters.arms import arm_job
from lib.chapters.correction import correction_task
from lib.chapters.overreaction import panel
from lib.forecasting.forecasters import add_noise, misperceived
from lib.forecasting.frames import ar1_items
from lib.forecasting.learners import bayes, full_information
from lib.study.notebook import Study
from lib.training.runs import train_all


@pytest.fixture(scope="module")
def items():
    return ar1_items([0.2, 0.5, 0.8], series=40, rounds=4, history=12, sigma=8.0, seed=5)


def test_nothing_remains_of_the_rational_row_itself(items):
    rational = bayes(items)
    rows = report.remaining_rows([add_noise(rational, 1e-6, seed=1)], rational, "lora")
    assert rows["value"].to_numpy() == pytest.approx(0.0, abs=1e-6)
    assert set(rows["metric"]) == {"persistence_gap"} and len(rows) == 3


def test_under_reaction_is_negative_and_significant(items):
    rational = full_information(items)
    timid = add_noise(misperceived(items, lambda rho: rho - 0.15), 0.5, seed=1)
    rows = report.remaining_rows([timid], rational, "lora")
    assert rows["value"].to_numpy() == pytest.approx(-0.15, abs=0.02)
    assert (rows["p_holm"] < 0.01).all() and (rows["high"] < 0).all()


def test_shape_of_a_knowing_forecaster_is_the_45_degree_line(items):
    rows = report.shape_rows({"known": [full_information(items)]}).set_index("metric")["value"]
    assert rows["slope_on_rho"] == pytest.approx(1.0, abs=1e-6)
    assert rows["intercept_at_0"] == pytest.approx(0.0, abs=1e-6)


def test_shape_of_whoever_answers_the_mean_is_flat(items):
    rows = report.shape_rows({"mean": [misperceived(items, lambda rho: 0 * rho)]})
    assert rows["value"].to_numpy() == pytest.approx(0.0, abs=1e-9)


def test_seeds_give_the_interval_of_a_t_mean(items):
    several = [misperceived(items, lambda rho, k=k: rho + k) for k in (0.0, 0.1, 0.2)]
    row = report.shape_rows({"lora": several}).query("metric == 'intercept_at_0'").iloc[0]
    reach = 4.3027 * 0.1 / np.sqrt(3)
    assert row["value"] == pytest.approx(0.1)
    assert row["high"] == pytest.approx(0.1 + reach, abs=1e-4)
    assert row["seeds"] == 3


def test_errors_are_relative_to_full_information(items):
    best = full_information(items)
    rows = report.error_rows({"best": [best], "noisy": [add_noise(best, 8.0, seed=2)]}, best)
    values = rows.set_index("arm")["value"]
    assert values["best"] == 1.0 and values["noisy"] == pytest.approx(2.0, abs=0.25)


def test_ablations_give_a_share_and_a_loss_each(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    study = Study("smoke", 1, world_models.TINY, notebook="03")
    base = world_models.tiny_base()
    job = arm_job(base, correction_task(study), "lora", 0.005, 0.0, 1)
    found = {("rank", "2"): {1: train_all(study, {"a": job})["a"]}}
    rows = report.ablation_rows(study, base, found, panel(study))
    assert set(rows["metric"]) == {"share_removed", "task_loss"}
    assert set(rows["condition"]) == {"rank: 2"}
    assert np.isfinite(rows.loc[rows["metric"] == "task_loss", "value"]).all()
