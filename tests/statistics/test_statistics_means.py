"""A mean as an estimate, against statsmodels."""

import numpy as np
import pytest
from statsmodels.stats.weightstats import DescrStatsW

from lib.statistics.means import mean


def test_a_mean_has_the_t_interval_of_its_values():
    values = np.random.default_rng(1).normal(3, 2, 17)
    found, theirs = mean("loss", values), DescrStatsW(values)
    assert (found.value, found.se) == pytest.approx((theirs.mean, theirs.std_mean))
    assert (found.low, found.high) == pytest.approx(theirs.tconfint_mean())
    assert (found.n, found.clusters, found.df, found.method) == (17, 17, 16, "t(16)")


def test_rows_behind_the_values_are_counted_apart():
    found = mean("change", [1.0, 2.0], "paired, cluster by thing", n=80)
    assert (found.n, found.clusters, found.method) == (80, 2, "paired, cluster by thing, t(1)")
