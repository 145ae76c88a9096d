"""The area under the ROC curve: against scipy, and its error against resampling."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from lib.statistics.discrimination import auroc


def of(positive, negative, size=1):
    """Of items of which so many in turn are one cluster."""
    scores = np.concatenate([positive, negative])
    clusters = np.concatenate([np.arange(len(positive)) // size,
                               1000 + np.arange(len(negative)) // size])
    return auroc(scores, np.arange(len(scores)) < len(positive), clusters)


@pytest.mark.parametrize("seed", range(3))
def test_value_is_the_mann_whitney_statistic_ties_counting_half(seed):
    rng = np.random.default_rng(seed)
    positive, negative = rng.integers(0, 6, 30) + 1, rng.integers(0, 6, 20)
    truth = mannwhitneyu(positive, negative).statistic / 600
    assert of(positive, negative).value == pytest.approx(truth)


def test_error_is_that_of_resampled_items():
    rng = np.random.default_rng(4)
    draws = [of(rng.normal(1, 1, 40), rng.normal(0, 1, 30)) for _ in range(600)]
    assert np.mean([d.se for d in draws]) == pytest.approx(
        np.std([d.value for d in draws]), rel=0.08)


def test_perfect_order_is_one():
    found = of([3, 4], [1, 2])
    assert (found.value, found.se) == (1.0, 0.0)


def test_error_is_delongs_where_every_item_is_its_own_cluster():
    rng = np.random.default_rng(2)
    positive, negative = rng.normal(1, 1, 25), rng.normal(0, 1, 15)
    wins = positive[:, None] > negative[None, :]
    truth = (wins.mean(1).var(ddof=1) / 25 + wins.mean(0).var(ddof=1) / 15) ** 0.5
    assert of(positive, negative).se == pytest.approx(truth)


def test_error_is_that_of_resampled_clusters():
    rng = np.random.default_rng(5)

    def draw(mean, clusters):
        return (rng.normal(mean, 1, (clusters, 1)) + rng.normal(0, 0.3, (clusters, 6))).ravel()

    draws = [of(draw(1, 30), draw(0, 30), size=6) for _ in range(500)]
    assert np.mean([d.se for d in draws]) == pytest.approx(
        np.std([d.value for d in draws]), rel=0.1)
