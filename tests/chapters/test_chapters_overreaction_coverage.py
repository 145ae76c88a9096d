"""The calibration exhibit: shares with Wilson limits, and the estimators pass their own test."""

import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from lib.chapters import overreaction as coverage
from lib.chapters.overreaction import ACCEPTED, RHOS, calibrated, coverage_rows
from lib.statistics.calibration import METRICS
from lib.study.notebook import Study


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    return Study("sandbox", 1, {}, notebook="02")


@pytest.fixture
def table(study, monkeypatch):
    monkeypatch.setattr(coverage, "PANELS", 60)
    return calibrated(study)


def test_every_estimator_in_every_design_and_the_cross_section(table):
    panels = table[table["rho"].notna()]
    assert set(panels["metric"]) == set(METRICS) and sorted(set(panels["rho"])) == sorted(RHOS)
    assert {"fama_macbeth", "lag_coefficients"} <= set(table.loc[table["rho"].isna(), "metric"])


def test_designs_have_the_profiles_size(table, study):
    given, panels = study.profile.forecasting, table[table["rho"].notna()]
    assert set(panels["series"]) == {given.series} and set(panels["rounds"]) == {given.rounds}


def test_rows_carry_wilson_limits():
    one = pd.DataFrame([{"metric": "implied_persistence", "rho": 0.4, "coverage": 0.95,
                         "power": 1.0, "bias": 0.01, "bias_se": 0.002, "panels": 1000}])
    rows = coverage_rows(one).set_index("metric")
    low, high = proportion_confint(950, 1000, method="wilson")
    assert (rows.loc["coverage", "low"], rows.loc["coverage", "high"]) == pytest.approx((low, high))
    assert rows.loc["bias", "low"] == pytest.approx(0.01 - 1.96 * 0.002)
    assert rows.loc["power", "value"] == 1.0
    assert set(rows["condition"]) == {"rho 0.4"} and set(rows["arm"]) == {"implied_persistence"}


def test_coverage_of_the_sandboxs_design_is_acceptable(study):
    rows = coverage_rows(calibrated(study))
    main = rows[(rows["metric"] == "coverage") & (rows["arm"] == "implied_persistence")]
    # Limits of the simulation error on top of what is accepted.
    assert (main["high"] >= ACCEPTED[0]).all() and (main["low"] <= ACCEPTED[1]).all()
