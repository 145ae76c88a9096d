"""TOST: limits and p-values that agree, and the stated error rate at the margin."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.statistics.equivalence import equivalence


def changes(values):
    return pd.DataFrame({"arm": "full", "condition": "all", "metric": "judge_score_change",
                         "base": range(len(values)), "seed": 1, "value": values, "n": 10})


def test_p_is_the_greater_of_two_t_tests():
    values = np.array([0.01, -0.02, 0.03, 0.0, 0.02])
    row = equivalence(changes(values), 0.05).iloc[0]
    both = [stats.ttest_1samp(values, -0.05, alternative="greater").pvalue,
            stats.ttest_1samp(values, 0.05, alternative="less").pvalue]
    assert row["p"] == pytest.approx(max(both))
    assert (row["low"], row["high"]) == pytest.approx(
        stats.t.interval(0.9, 4, values.mean(), stats.sem(values)))


@pytest.mark.parametrize("seed", range(20))
def test_rejects_exactly_where_the_limits_lie_within_the_margin(seed):
    values = np.random.default_rng(seed).normal(0.02, 0.04, 6)
    row = equivalence(changes(values), 0.05).iloc[0]
    assert (row["p"] < 0.05) == (row["low"] > -0.05 and row["high"] < 0.05)


def test_a_difference_at_the_margin_passes_one_time_in_twenty():
    rng = np.random.default_rng(1)
    passed = [equivalence(changes(rng.normal(0.05, 0.02, 12)), 0.05)["p"].iloc[0] < 0.05
              for _ in range(800)]
    assert np.mean(passed) == pytest.approx(0.05, abs=0.025)


def test_one_base_shows_nothing():
    assert equivalence(changes(np.array([0.0])), 0.05)[["low", "high", "p"]].isna().all(axis=None)


def test_seeds_of_a_base_are_one_value():
    twice = pd.concat([changes(np.array([0.0, 0.1, 0.2])), changes(np.array([0.2, 0.1, 0.0]))])
    found = equivalence(twice, 0.5).iloc[0]
    assert found["low"] == pytest.approx(0.1) and found["bases"] == 3 and found["runs"] == 6
