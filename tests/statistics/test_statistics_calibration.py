"""The fast regressions equal the slow ones, and the estimators recover what was planted."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from estimator_frames import as_market_frame

from lib.forecasting.forecasters import revision_coefficient
from lib.statistics.calibration import (
    CHUNK,
    METRICS,
    Design,
    Market,
    calibrate_lags,
    calibration_table,
    cluster_ols,
    monthly,
    pooled,
    simulate,
    simulate_markets,
    truth,
)
from lib.statistics.lags import fama_macbeth, lag_coefficients
from lib.statistics.regressions import error_on_level, error_revision, implied_persistence

DESIGN = Design(rho=0.4, rho_s=0.64, series=60)
SMALL = Market(months=30, stocks=18)


def calibrate(design, metric="implied_persistence", panels=1000, *, seed):
    return calibration_table([design], [metric], panels, seed=seed).iloc[0]


def as_frame(panels, i):
    columns = {name: getattr(panels, name)[i]
               for name in ("x", "outcome", "forecast", "previous_forecast")}
    rows = np.diff([*panels.starts, panels.x.shape[1]])
    return pd.DataFrame(columns | {"series": np.repeat(np.arange(len(rows)), rows)})


@pytest.mark.parametrize(("rho", "spread"), [(0.0, 0.0), (0.6, 1.5), (1.0, 0.0)])
def test_fast_regressions_equal_the_estimators(rho, spread):
    panels = simulate(replace(DESIGN, rho=rho, spread=spread), 5, seed=1)
    error = panels.outcome - panels.forecast
    revision = panels.forecast - panels.previous_forecast
    pairs = [(panels.forecast, panels.x, implied_persistence),
             (error, revision, error_revision), (error, panels.x, error_on_level)]
    for y, x, slow in pairs:
        fast = np.stack(cluster_ols(y, x, panels.starts), axis=1)
        for i in range(5):
            found = slow(as_frame(panels, i))
            assert fast[i] == pytest.approx([found.value, found.se, found.df], rel=1e-7)


def test_series_of_unequal_length_have_the_rows_of_equal_ones():
    assert DESIGN.sizes.tolist() == [8] * 60
    sizes = replace(DESIGN, spread=1.5).sizes
    assert sizes.sum() == pytest.approx(480, rel=0.05) and sizes.min() == 1 and sizes.max() > 80
    # Log-normal: three quarters of the series have less than the mean.
    assert (sizes < 8).mean() > 0.7


@pytest.mark.parametrize("metric", METRICS)
def test_a_row_is_what_the_estimator_says_panel_by_panel(metric):
    """Bias, coverage, size and power counted over frames, one estimate at a time."""
    design = replace(DESIGN, series=12)
    row = calibrate(design, metric, 30, seed=8)
    panels = simulate(design, 30, seed=np.random.SeedSequence([8, 0]))
    estimator = {"implied_persistence": implied_persistence, "error_revision": error_revision,
                 "error_on_level": error_on_level}[metric]
    found = [estimator(as_frame(panels, i)) for i in range(30)]
    rational = 0.4 if metric == "implied_persistence" else 0.0
    assert row["bias"] == pytest.approx(np.mean([e.value for e in found]) - row["truth"])
    assert row["mean_se"] == pytest.approx(np.mean([e.se for e in found]))
    assert row["coverage"] == np.mean([e.covers(row["truth"]) for e in found])
    assert row["power"] == np.mean([not e.covers(rational) for e in found])


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
    slope, se, _ = cluster_ols(error, revision, panels.starts)
    assert abs(slope[0] - truth(design, "error_revision")) < 4 * se[0] + 0.002


def test_truth_of_the_error_on_the_level_is_what_a_huge_panel_gives():
    panels = simulate(replace(DESIGN, series=100_000), 1, seed=3)
    slope, se, _ = cluster_ols(panels.outcome - panels.forecast, panels.x, panels.starts)
    assert abs(slope[0] - truth(DESIGN, "error_on_level")) < 4 * se[0]


@pytest.mark.parametrize("metric", METRICS)
def test_estimators_are_unbiased_with_honest_intervals(metric):
    """Where the outcome is on the left a bias like Kendall's is left, but over all 480 rows."""
    row = calibrate(DESIGN, metric, panels=600, seed=4)
    kendall = (1 + 3 * 0.4) / 480  # Kendall (1954): -(1 + 3 rho) / T
    assert abs(row["bias"]) < 4 * row["bias_se"] + kendall
    assert 0.92 < row["coverage"] < 0.98
    assert 0.92 < row["coverage_wild"] < 0.98
    assert row["mean_se"] == pytest.approx(row["sd"], rel=0.1)
    assert row["size"] == pytest.approx(1 - row["coverage"])


def test_unequal_series_need_more_than_the_usual_clustered_interval():
    design = replace(DESIGN, rho=0.8, rho_s=0.9, series=40)
    equal = calibrate(design, panels=1500, seed=9)
    unequal = calibrate(replace(design, spread=1.5), panels=1500, seed=9)
    assert unequal["coverage_t"] < 0.89 < 0.91 < equal["coverage_t"]
    assert 0.935 < equal["coverage"] and 0.9 < unequal["coverage"] < 0.96
    assert unequal["coverage_t"] + 0.04 < unequal["coverage"]
    assert 0.92 < unequal["coverage_wild"] < 0.97


def test_other_coverages_are_counted_with_the_errors_of_statsmodels():
    design = replace(DESIGN, series=12, spread=1.0)
    row, hits = calibrate(design, panels=40, seed=8), []
    panels = simulate(design, 40, seed=np.random.SeedSequence([8, 0]))
    for i in range(40):
        frame = as_frame(panels, i)
        ols = sm.OLS(frame["forecast"], sm.add_constant(frame["x"]))
        clustered = ols.fit(cov_type="cluster", cov_kwds={"groups": frame["series"]}, use_t=True)
        intervals = [ols.fit().conf_int().loc["x"], clustered.conf_int().loc["x"]]
        hits.append([low <= 0.64 <= high for low, high in intervals])
    # Independent rows: 1.96 of the study, t(84) of statsmodels.
    assert row["coverage_independent"] == pytest.approx(np.mean(hits, axis=0)[0], abs=0.05)
    assert row["coverage_t"] == np.mean(hits, axis=0)[1]


def test_few_series_have_no_wild_bootstrap_in_the_table():
    assert np.isnan(calibrate(replace(DESIGN, series=5), panels=20, seed=1)["coverage_wild"])


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
    table = calibration_table(designs, METRICS[:2], 50, seed=1)
    assert table["rho"].tolist() == [0.4, 0.4, 0.0, 0.0]
    assert table["panels"].eq(50).all() and table["coverage"].between(0, 1).all()
    pd.testing.assert_frame_equal(table, calibration_table(designs, METRICS[:2], 50, seed=1))
    assert table["bias"].nunique() == 4


@pytest.fixture(scope="module")
def markets():
    return simulate_markets(SMALL, 3, seed=1)


def frames(markets):
    return [as_market_frame(y, x) for y, x in zip(*markets, strict=True)]


def test_pooled_and_monthly_slopes_equal_the_estimators(markets):
    for fast, slow in (
        (pooled(*markets), lambda f: lag_coefficients(f, cluster="month")),
        (monthly(*markets), fama_macbeth),
    ):
        for i, frame in enumerate(frames(markets)):
            found = slow(frame)
            assert fast[0][i] == pytest.approx([e.value for e in found], rel=1e-7)
            assert fast[1][i] == pytest.approx([e.se for e in found], rel=1e-7)


def test_markets_are_as_described():
    y, x = simulate_markets(replace(SMALL, noise_sd=0.0, level_sd=0.0, month_sd=0.0), 2, seed=2)
    weights = 0.6 ** np.arange(12)
    assert y == pytest.approx(0.5 * x @ weights / weights.sum())
    assert np.array_equal(x[:, 1:, :, 1], x[:, :-1, :, 0])  # last month's newest is one month old
    big = simulate_markets(Market(months=200, stocks=100), 1, seed=3)[1]
    assert big[..., 0].std() == pytest.approx(np.hypot(8, 4), rel=0.05)


def test_estimators_are_unbiased_and_cover():
    table = calibrate_lags(replace(SMALL, months=48), 300, seed=4).set_index("metric")
    assert (table["bias"].abs() < 4 * table["bias_se"] + 0.003).all()
    assert table["coverage"].between(0.89, 0.98).all()
    assert np.allclose(table["mean_se"], table["sd"], rtol=0.15)
    assert table["power"].min() > 0.99


def test_forecasts_that_ignore_the_past_are_rejected_at_the_size():
    table = calibrate_lags(replace(SMALL, level=0.0), 300, seed=5).set_index("metric")
    assert table["truth"].eq(0.0).all()
    assert table["power"].equals(table["size"]) and table["size"].max() < 0.11


def test_chunks_and_seeds_make_one_table():
    table = calibrate_lags(SMALL, CHUNK + 20, seed=6)
    assert table["metric"].tolist() == ["lag_coefficients", "fama_macbeth"]
    assert table["panels"].eq(CHUNK + 20).all() and table["bias"].nunique() == 2
    pd.testing.assert_frame_equal(table, calibrate_lags(SMALL, CHUNK + 20, seed=6))
