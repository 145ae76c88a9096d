"""The fast regressions equal the slow ones, and the estimators recover what was planted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lib.errors import InvalidValueError
from lib.estimators import error_revision, implied_persistence
from lib.estimators.calibration import (
    Design,
    calibrate,
    calibration_table,
    cluster_ols,
    simulate,
    truth,
)
from lib.forecasting.zoo import revision_coefficient

DESIGN = Design(rho=0.4, rho_s=0.64, series=60)


def as_frame(panels, i):
    shape = panels.x[i].shape
    columns = {name: array[i].ravel() for name, array in vars(panels).items()}
    return pd.DataFrame(columns | {"series": np.repeat(np.arange(shape[0]), shape[1])})


@pytest.mark.parametrize("rho", [0.0, 0.6, 1.0])
def test_fast_regressions_equal_the_statsmodels_estimators(rho):
    panels = simulate(replace(DESIGN, rho=rho), 5, seed=1)
    level = cluster_ols(panels.forecast, panels.x)
    revision = cluster_ols(
        panels.outcome - panels.forecast, panels.forecast - panels.previous_forecast
    )
    for i in range(5):
        frame = as_frame(panels, i)
        for fast, slow in ((level, implied_persistence), (revision, error_revision)):
            found = slow(frame)
            assert [fast[0][i], fast[1][i]] == pytest.approx([found.value, found.se], rel=1e-9)


def test_independent_error_is_the_textbook_one():
    panels = simulate(DESIGN, 1, seed=2)
    y, x = panels.forecast.ravel(), panels.x.ravel()
    cov = np.polyfit(x, y, 1, cov=True)[1]
    assert cluster_ols(panels.forecast, panels.x)[2][0] == pytest.approx(np.sqrt(cov[0, 0]))


@pytest.mark.parametrize(("rho", "r"), [(0.0, 0.45), (0.4, 0.64), (0.8, 0.9)])
def test_truth_equals_the_closed_form_without_habits(rho, r):
    design = replace(DESIGN, rho=rho, rho_s=r, habit_sd=0.0)
    closed = revision_coefficient(r, r**2, rho, 2.0, 8 / np.sqrt(1 - rho**2))
    assert truth(design, "error_revision") == pytest.approx(closed)
    assert truth(design, "implied_persistence") == r


@pytest.mark.parametrize("rho", [0.2, 1.0])
def test_truth_with_habits_is_what_a_huge_panel_gives(rho):
    design = replace(DESIGN, rho=rho, habit_sd=0.2, series=200_000)
    panels = simulate(design, 1, seed=3)
    error, revision = panels.outcome - panels.forecast, panels.forecast - panels.previous_forecast
    slope, se, _ = cluster_ols(error, revision)
    assert abs(slope[0] - truth(design, "error_revision")) < 4 * se[0] + 0.002


@pytest.mark.parametrize("metric", ["implied_persistence", "error_revision"])
def test_estimators_are_unbiased_with_honest_intervals(metric):
    row = calibrate(DESIGN, metric, panels=600, seed=4)
    assert abs(row["bias"]) < 4 * row["bias_se"]
    assert 0.92 < row["coverage"] < 0.98
    assert row["mean_se"] == pytest.approx(row["sd"], rel=0.1)
    assert row["size"] == pytest.approx(1 - row["coverage"])


def test_ignoring_clusters_is_dishonest_when_series_have_habits():
    row = calibrate(replace(DESIGN, habit_sd=0.15), panels=400, seed=5)
    assert row["coverage_independent"] < 0.85 < row["coverage"]


def test_a_rational_forecaster_is_rejected_at_the_size_a_biased_one_with_power():
    rational = calibrate(replace(DESIGN, rho_s=0.4), panels=600, seed=6)
    biased = calibrate(DESIGN, panels=200, seed=6)
    assert rational["power"] == rational["size"] < 0.08
    assert biased["power"] > 0.99


def test_noise_alone_makes_the_revision_test_reject_a_rational_forecaster():
    design = replace(DESIGN, rho_s=0.4, noise_sd=6.0, habit_sd=0.0)
    assert calibrate(design, "error_revision", 200, seed=7)["power"] > 0.95
    assert calibrate(design, "implied_persistence", 200, seed=7)["power"] < 0.12


def test_table_has_a_row_for_each_design_and_metric():
    designs = [DESIGN, replace(DESIGN, rho=0.0)]
    table = calibration_table(designs, panels=50, seed=1)
    assert table["rho"].tolist() == [0.4, 0.4, 0.0, 0.0]
    assert table["panels"].eq(50).all() and table["coverage"].between(0, 1).all()
    pd.testing.assert_frame_equal(table, calibration_table(designs, panels=50, seed=1))
    assert table["bias"].nunique() == 4


def test_an_unknown_metric_is_refused():
    with pytest.raises(InvalidValueError, match="error_revision"):
        calibrate(DESIGN, "r_squared", 10)
