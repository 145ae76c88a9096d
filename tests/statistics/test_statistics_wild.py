"""Wild cluster bootstrap: against regressions run one by one, and by simulated coverage."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from estimator_frames import ar1_frame
from scipy import stats

from lib.errors import InvalidValueError
from lib.forecasting.forecasters import add_noise, misperceived
from lib.statistics.calibration import Design, simulate
from lib.statistics.regressions import error_revision, implied_persistence
from lib.statistics.wild import (
    POINTS,
    cluster_sums,
    draw_weights,
    pvalues,
    slope_and_error,
    wild_cluster,
)


def noisy_panel(series, seed=0, rho_s=0.8):
    items = ar1_frame(0.6, series, 5, seed=seed)
    return add_noise(misperceived(items, rho_s), 4.0, seed=seed)


def pvalue(frame, null, weights):
    y, x = (frame[c].to_numpy(float) for c in ("forecast", "x"))
    return float(pvalues(cluster_sums(y, x, np.arange(0, len(x), 5)), null, weights))


def t_statistic(y, x, groups, null):
    """Clustered t statistic by an explicit regression."""
    design = np.column_stack([np.ones_like(x), x])
    beta = np.linalg.lstsq(design, y, rcond=None)[0]
    u = design * (y - design @ beta)[:, None]
    sums = np.array([u[groups == g].sum(axis=0) for g in range(groups.max() + 1)])
    bread = np.linalg.inv(design.T @ design)
    return (beta[1] - null) / np.sqrt((bread @ sums.T @ sums @ bread)[1, 1])


def brute_force(y, x, groups, null, weights):
    restricted = (y - null * x).mean() + null * x
    residual = y - restricted
    observed = abs(t_statistic(y, x, groups, null))
    drawn = [
        abs(t_statistic(restricted + residual * w[groups], x, groups, null)) for w in weights
    ]
    return np.mean(np.array(drawn) >= observed * (1 - 1e-9))


@pytest.mark.parametrize("kind", ["rademacher", "webb"])
@pytest.mark.parametrize("null", [0.0, 0.75, 0.9])
def test_pvalues_equal_regressions_one_by_one(kind, null):
    frame = noisy_panel(7, seed=1)
    weights = draw_weights(7, 200, kind, seed=3)
    y, x = (frame[c].to_numpy(dtype=float) for c in ("forecast", "x"))
    expected = brute_force(y, x, pd.factorize(frame["series"])[0], null, weights)
    assert pvalue(frame, null, weights) == pytest.approx(expected)


def test_the_value_is_the_plain_one_and_row_order_is_free():
    frame = noisy_panel(10)
    for estimator in (implied_persistence, error_revision):
        found, plain = wild_cluster(frame, estimator, "rademacher"), estimator(frame)
        assert found.value == pytest.approx(plain.value)
        assert (found.name, found.n, found.clusters) == (plain.name, 50, 10)
        shuffled = frame.sample(frac=1, random_state=0)
        assert wild_cluster(shuffled, estimator).covers(plain.value)
    assert "1024 draws" in found.method and np.isnan(found.df)


def test_the_interval_is_the_set_of_nulls_that_are_not_rejected():
    frame = noisy_panel(9, seed=2)
    found = wild_cluster(frame, implied_persistence, "rademacher")
    signs = draw_weights(9, 1999, "rademacher", 0)
    for end, outward in ((found.low, -1), (found.high, 1)):
        inside, outside = end - outward * 1e-6, end + outward * 1e-6
        assert pvalue(frame, inside, signs) > 0.05
        assert pvalue(frame, outside, signs) <= 0.05
    assert pvalue(frame, found.value, signs) == 1.0


def test_with_many_alike_series_the_interval_is_the_plain_one():
    frame = noisy_panel(200, seed=3)
    wild, plain = wild_cluster(frame, implied_persistence), implied_persistence(frame)
    assert [wild.low, wild.high] == pytest.approx([plain.low, plain.high], abs=0.15 * plain.se)


def test_scale_and_origin_do_not_matter():
    frame = noisy_panel(12, seed=4)
    moved = frame.assign(x=5 + 3 * frame["x"], forecast=7 + 3 * frame["forecast"])
    one, two = (wild_cluster(f, implied_persistence) for f in (frame, moved))
    assert [two.low, two.high] == pytest.approx([one.low, one.high], rel=1e-6)


def test_few_clusters_are_enumerated_and_more_are_drawn_from_a_seed():
    assert draw_weights(6, 1999, "rademacher", 0).tolist() == [
        list(signs) for signs in product([-1.0, 1.0], repeat=6)
    ]
    one, two, other = (draw_weights(20, 99, "webb", s) for s in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
    for points in POINTS.values():
        assert points.mean() == pytest.approx(0, abs=1e-12)
        assert (points**2).mean() == pytest.approx(1)


def test_slopes_and_errors_of_many_panels_are_the_usual_ones_of_statsmodels():
    panels = simulate(Design(0.4, 0.7, series=8, spread=1.0), 5, seed=1)
    slope, se = slope_and_error(cluster_sums(panels.forecast, panels.x, panels.starts))
    groups = np.repeat(np.arange(8), Design(0.4, 0.7, series=8, spread=1.0).sizes)
    for i in range(5):
        fit = sm.OLS(panels.forecast[i], sm.add_constant(panels.x[i])).fit(
            cov_type="cluster", cov_kwds={"groups": groups})
        assert [slope[i], se[i]] == pytest.approx([fit.params[1], fit.bse[1]])


@pytest.mark.parametrize("weights", ["rademacher", "webb"])
def test_it_covers_where_the_plain_interval_does_not(weights):
    """Eight persistent series with habits of their own: few clusters, unequal leverage."""
    design = Design(rho=0.95, rho_s=0.97, series=8, rounds=8, habit_sd=0.2)
    panels = simulate(design, 1500, seed=5)
    sums = cluster_sums(panels.forecast, panels.x, panels.starts)
    slope, se = slope_and_error(sums)
    plain = (np.abs(slope - 0.97) <= stats.t.ppf(0.975, 7) * se).mean()
    draws = draw_weights(8, 399, weights, seed=6)
    found = pvalues(sums, 0.97, draws)
    assert plain < 0.89
    assert 0.92 < (found > 0.05).mean() < 0.975


def test_too_few_clusters_are_refused_with_a_way_out():
    with pytest.raises(InvalidValueError, match="webb"):
        wild_cluster(noisy_panel(5), implied_persistence, "rademacher")
    with pytest.raises(InvalidValueError, match="3 for Webb"):
        wild_cluster(noisy_panel(2), implied_persistence, "webb")
    with pytest.raises(InvalidValueError, match="rademacher or webb"):
        wild_cluster(noisy_panel(9), implied_persistence, "normal")


@pytest.mark.parametrize(("series", "weights"), [(4, "webb"), (11, "webb"), (12, "rademacher")])
def test_weights_suit_the_number_of_series(series, weights):
    panel = noisy_panel(series)
    chosen = wild_cluster(panel, implied_persistence)
    assert chosen == wild_cluster(panel, implied_persistence, weights)
    assert weights in chosen.method and chosen.clusters == series
