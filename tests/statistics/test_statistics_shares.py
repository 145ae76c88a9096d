"""Shares: Wilson against statsmodels, coverage against planted truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from lib.statistics.shares import mean_probability, rate


def clustered(values, size=1):
    return pd.DataFrame({"y": values, "cluster": np.arange(len(values)) // size})


@pytest.mark.parametrize("ones", [0, 1, 13, 39, 40])
def test_rate_of_independent_items_is_wilsons(ones):
    found = rate(clustered(np.r_[np.ones(ones), np.zeros(40 - ones)]), "y", "r")
    low, high = proportion_confint(ones, 40, method="wilson")
    assert (found.value, found.n, found.clusters) == (ones / 40, 40, 40)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_rate_of_repeated_items_counts_clusters():
    once = np.r_[np.ones(12), np.zeros(28)]
    found = rate(clustered(np.repeat(once, 5), 5), "y", "r")
    single = rate(clustered(once), "y", "r")
    assert (found.low, found.high) == pytest.approx((single.low, single.high))
    assert (found.n, found.clusters) == (200, 40)


def test_rate_without_any_variation_counts_clusters():
    found = rate(clustered(np.ones(60), 3), "y", "r")
    low, high = proportion_confint(20, 20, method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high))


def test_rate_never_claims_more_items_than_there_are():
    balanced = np.tile([0.0, 1.0], 30)
    found = rate(clustered(balanced, 2), "y", "r")
    low, high = proportion_confint(30, 60, method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high))


def test_rate_covers_the_truth_under_clustering():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(300):
        p = np.repeat(rng.beta(2, 2, 30), 6)
        hits += rate(clustered((rng.random(180) < p).astype(float), 6), "y", "r").covers(0.5)
    assert 0.91 <= hits / 300 <= 0.985


@pytest.mark.parametrize("spread", [None, 0.3, 1.0])
def test_rate_covers_the_truth_where_clusters_differ_in_size(spread):
    """Many clusters of one and a few large ones, as words are shared by prompts of XSTest."""
    rng, hits = np.random.default_rng(0), 0
    clusters = np.repeat(np.arange(80), [1] * 60 + [2] * 10 + [8] * 10)
    for _ in range(300):
        if spread is None:
            p = np.full(80, 0.4)
        elif spread == 1:
            p = (rng.random(80) < 0.4).astype(float)
        else:
            p = rng.beta(0.4 * (1 / spread - 1), 0.6 * (1 / spread - 1), 80)
        drawn = (rng.random(160) < p[clusters]).astype(float)
        frame = pd.DataFrame({"y": drawn, "cluster": clusters})
        hits += rate(frame, "y", "r").covers(0.4)
    assert 0.91 <= hits / 300 <= 0.985


def test_rate_of_a_single_cluster_counts_as_one_item():
    found = rate(pd.DataFrame({"y": [1.0, 0.0, 1.0, 1.0], "cluster": "same"}), "y", "r")
    low, high = proportion_confint(0.75, 1, method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high))


def test_mean_of_probabilities_by_hand():
    values = np.array([0.30, 0.32, 0.36, 0.42])
    found = mean_probability(clustered(values), "y", "m")
    assert (found.value, found.n, found.clusters, found.df) == (values.mean(), 4, 4, 3)
    # With one item a cluster the clustered error is the textbook one.
    se = values.std(ddof=1) / 2
    assert found.se == pytest.approx(se)
    odds, reach = 0.35 / 0.65, stats.t.ppf(0.975, 3) * se / (0.35 * 0.65)
    limits = [odds * np.exp(s * reach) for s in (-1, 1)]
    assert (found.low, found.high) == pytest.approx(tuple(o / (1 + o) for o in limits))


def test_repeating_every_item_adds_no_evidence():
    values = np.random.default_rng(0).uniform(0.2, 0.6, 12)
    once = mean_probability(clustered(values), "y", "m")
    many = mean_probability(clustered(np.repeat(values, 5), 5), "y", "m")
    assert (many.low, many.high) == pytest.approx((once.low, once.high), abs=0.01)
    assert many.clusters == 12


def test_known_probabilities_are_no_coin_tosses():
    """Eight equal probabilities are known exactly; eight coins of that bias tell little."""
    exact = mean_probability(clustered(np.full(8, 0.35)), "y", "m")
    assert exact.low == pytest.approx(0.35) and exact.high == pytest.approx(0.35)
    tossed = rate(clustered([1.0, 1, 1, 0, 0, 0, 0, 0]), "y", "r")
    assert tossed.high - tossed.low > 0.5


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_certainty_has_no_interval(p):
    found = mean_probability(clustered(np.full(5, p)), "y", "m")
    assert (found.value, found.low, found.high) == (p, p, p)


@pytest.mark.parametrize(("mean", "sharpness"), [(0.35, 60), (0.8, 20), (0.95, 60)])
def test_mean_of_probabilities_covers_the_truth_and_stays_inside(mean, sharpness):
    rng = np.random.default_rng(1)
    draws = rng.beta(mean * sharpness, (1 - mean) * sharpness, (500, 8))
    found = [mean_probability(clustered(row), "y", "m") for row in draws]
    assert 0.92 <= np.mean([f.covers(mean) for f in found]) <= 0.985
    assert all(0 < f.low <= f.value <= f.high < 1 for f in found)
