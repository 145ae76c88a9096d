"""Seeds, conditions, power."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lib.errors import InvalidValueError
from lib.statistics.estimate import Estimate, t_interval
from lib.statistics.pooling import combine_seeds, holm, minimum_detectable


def estimate(value, se=0.1, df=39.0, name="implied_persistence"):
    return Estimate(name, value, se, *t_interval(value, se, df), 320, 40, "ols", df)


def test_combined_value_and_error_follow_rubin():
    values, se = np.array([0.4, 0.5, 0.75]), np.array([0.1, 0.2, 0.15])
    found = combine_seeds([estimate(v, s) for v, s in zip(values, se, strict=True)])
    variance = (se**2).mean() + (1 + 1 / 3) * values.var(ddof=1)
    assert found.value == pytest.approx(values.mean())
    assert found.se == pytest.approx(np.sqrt(variance))
    assert "3 seeds" in found.method and (found.n, found.clusters) == (320, 40)


def test_seeds_that_agree_leave_the_error_of_the_items():
    found = combine_seeds([estimate(0.5)] * 5)
    assert found.se == pytest.approx(0.1) and found.df == pytest.approx(39 * 40 / 42)


def test_a_metric_without_any_variation_combines_to_a_point():
    found = combine_seeds([estimate(1.0, 0.0)] * 3)
    assert (found.value, found.se, found.low, found.high) == (1.0, 0.0, 1.0, 1.0)


def test_seeds_that_disagree_leave_the_degrees_of_freedom_of_seeds():
    found = combine_seeds([estimate(v, 1e-6) for v in (0.1, 0.5, 0.9)])
    assert found.df == pytest.approx(2, abs=1e-3)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 2) * found.se, rel=1e-4)


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=8), st.floats(0.01, 1))
def test_combining_never_claims_more_than_the_items_allow(values, se):
    found = combine_seeds([estimate(v, se) for v in values])
    assert found.se >= se * (1 - 1e-9)
    assert len(values) - 1 <= found.df <= 39
    assert min(values) - 1e-9 <= found.value <= max(values) + 1e-9


def test_intervals_cover_a_freshly_trained_model():
    """Items shift all seeds alike, each training adds its own: the next model is in 95 %."""
    rng, inside, trials = np.random.default_rng(0), 0, 3000
    for _ in range(trials):
        shared = rng.normal(0, 0.1)
        seeds = [estimate(shared + rng.normal(0, 0.15), 0.1) for _ in range(3)]
        inside += combine_seeds(seeds).covers(rng.normal(0, 0.15))
    assert 0.925 < inside / trials < 0.965


def test_one_seed_is_returned_and_says_so():
    found = combine_seeds([estimate(0.5)])
    assert (found.value, found.se, found.df) == (0.5, 0.1, 39.0)
    assert "one seed" in found.method


def test_bootstrap_estimates_combine_with_clusters_less_one():
    share = Estimate("share_removed", 0.6, 0.1, 0.4, 0.8, 320, 40, "bootstrap", np.nan)
    assert combine_seeds([share, share]).df == pytest.approx(39 * 40 / 42)


def test_mixed_metrics_are_refused():
    with pytest.raises(InvalidValueError):
        combine_seeds([estimate(0.5), estimate(0.5, name="error_revision")])
    with pytest.raises(InvalidValueError):
        combine_seeds([])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_step_down_of_its_definition(pvalues):
    order = np.argsort(pvalues, kind="stable")
    expected, running = np.empty(len(pvalues)), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(pvalues) - rank) * pvalues[i]))
        expected[i] = running
    assert np.allclose(holm(pvalues), expected)


def test_holm_takes_estimates_and_a_null():
    tests = [estimate(0.5), estimate(0.7)]
    raw = [t.pvalue(0.4) for t in tests]
    assert np.allclose(holm(tests, null=0.4), holm(raw))
    with pytest.raises(InvalidValueError):
        holm([1.2])


def test_the_minimum_detectable_effect_is_found_with_its_power():
    assert minimum_detectable(1.0) == pytest.approx(2.8016, abs=1e-4)
    effect = minimum_detectable(0.1, df=20, power=0.9)
    shift = effect / 0.1
    found = stats.nct.sf(stats.t.ppf(0.975, 20), 20, shift)
    assert found == pytest.approx(0.9, abs=0.01)
    assert effect > minimum_detectable(0.1, power=0.9)
