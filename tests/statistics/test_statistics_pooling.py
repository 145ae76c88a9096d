"""Seeds pooled: by Rubin's rules where they hold, calibrated where they do not; several tests."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from lib.errors import InvalidValueError
from lib.statistics.estimate import Estimate, Measure, measure_table, t_interval
from lib.statistics.pooling import combine, holm, minimum_detectable, pool, pool_tables
from lib.statistics.shares import rate


def estimate(value, se=0.1, df=39.0, name="implied_persistence"):
    return Estimate(name, value, se, *t_interval(value, se, df), 320, 40, "ols", df)


def test_combined_value_and_error_follow_rubin():
    values, se = np.array([0.4, 0.5, 0.75]), np.array([0.1, 0.2, 0.15])
    found = combine([estimate(v, s) for v, s in zip(values, se, strict=True)])
    variance = (se**2).mean() + (1 + 1 / 3) * values.var(ddof=1)
    assert found.value == pytest.approx(values.mean())
    assert found.se == pytest.approx(np.sqrt(variance))
    assert "3 seeds" in found.method and (found.n, found.clusters) == (320, 40)


def test_seeds_that_agree_leave_the_error_of_the_items():
    found = combine([estimate(0.5)] * 5)
    assert found.se == pytest.approx(0.1) and found.df == pytest.approx(39 * 40 / 42)


def test_a_metric_without_any_variation_combines_to_a_point():
    found = combine([estimate(1.0, 0.0)] * 3)
    assert (found.value, found.se, found.low, found.high) == (1.0, 0.0, 1.0, 1.0)


def test_seeds_that_disagree_leave_the_degrees_of_freedom_of_seeds():
    found = combine([estimate(v, 1e-6) for v in (0.1, 0.5, 0.9)])
    assert found.df == pytest.approx(2, abs=1e-3)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 2) * found.se, rel=1e-4)


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=8), st.floats(0.01, 1))
def test_combining_never_claims_more_than_the_items_allow(values, se):
    found = combine([estimate(v, se) for v in values])
    assert found.se >= se * (1 - 1e-9)
    assert len(values) - 1 <= found.df <= 39
    assert min(values) - 1e-9 <= found.value <= max(values) + 1e-9


def test_intervals_cover_a_freshly_trained_model():
    """Items shift all seeds alike, each training adds its own: the next model is in 95 %."""
    rng, inside, trials = np.random.default_rng(0), 0, 3000
    for _ in range(trials):
        shared = rng.normal(0, 0.1)
        seeds = [estimate(shared + rng.normal(0, 0.15), 0.1) for _ in range(3)]
        inside += combine(seeds).covers(rng.normal(0, 0.15))
    assert 0.925 < inside / trials < 0.965


def test_one_seed_is_returned_and_says_so():
    found = combine([estimate(0.5)])
    assert (found.value, found.se, found.df) == (0.5, 0.1, 39.0)
    assert "one seed" in found.method


def test_bootstrap_estimates_combine_with_clusters_less_one():
    share = Estimate("share_removed", 0.6, 0.1, 0.4, 0.8, 320, 40, "bootstrap", np.nan)
    assert combine([share, share]).df == pytest.approx(39 * 40 / 42)


def test_mixed_metrics_are_refused():
    with pytest.raises(InvalidValueError):
        combine([estimate(0.5), estimate(0.5, name="error_revision")])
    with pytest.raises(InvalidValueError):
        combine([])


def slope(value, se=0.1, df=39.0, name="pronoun_slope"):
    return Measure.of(Estimate(name, value, se, *t_interval(value, se, df), 200, 40, "ols", df),
                      "plain")


def wilson(ones, n):
    """Measures of shares, one a seed; `ones` of shape (seeds,)."""
    low, high = proportion_confint(ones, n, method="wilson")
    q = np.asarray(ones) / n
    return [Measure.share(Estimate("refusal_rate", *row, n, n, "Wilson"), "benign")
            for row in zip(q, np.sqrt(q * (1 - q) / n), low, high, strict=True)]


def test_one_seed_stays_as_it_is():
    only = slope(0.9)
    assert pool([only]) is only


@pytest.mark.parametrize("values", [(0.9, 1.0, 1.2), (0.8, 1.1), (1.0, 1.0, 1.0, 1.0)])
def test_symmetric_intervals_pool_by_rubins_rules(values):
    measures = [slope(v, 0.05 + 0.02 * i) for i, v in enumerate(values)]
    found, rubin = pool(measures), combine(measures)
    assert (found.value, found.se, found.df) == (rubin.value, rubin.se, rubin.df)
    assert (found.low, found.high) == pytest.approx((rubin.low, rubin.high))
    assert (found.name, found.condition) == ("pronoun_slope", "plain")


@pytest.mark.parametrize("ones", [0, 2, 20, 40])
def test_seeds_that_agree_keep_their_own_interval(ones):
    measures = wilson([ones] * 3, 40)
    found = pool(measures)
    assert (found.low, found.high) == pytest.approx((measures[0].low, measures[0].high))


def test_two_shares_by_hand():
    """No error of the items: the limits are those of a mean of two on t(1), cut at one."""
    sharp = [Measure.share(Estimate("r", q, 0.0, q, q, 9, 9, ""), "c") for q in (0.90, 0.94)]
    reach = stats.t.ppf(0.975, 1) * np.sqrt(1.5) * np.std([0.90, 0.94], ddof=1)
    found = pool(sharp)
    assert (found.low, found.high) == pytest.approx((0.92 - reach, 1.0))


def test_a_seed_that_differs_widens_the_interval_to_its_side():
    same, other = pool(wilson([0, 0, 0], 40)), pool(wilson([0, 0, 6], 40))
    assert other.high > same.high + 0.05 and other.low == 0


def test_a_perplexity_never_falls_below_one():
    seeds = [Measure.of(Estimate("neutral_perplexity", v, 0.1, v - 0.2, v + 0.2, 9, 9, "", 8.0),
                        "model", least=1.0) for v in (2.5, 3.0, 24.0)]
    found = pool(seeds)
    assert found.low == 1.0 and found.high > 24


def test_an_interval_by_resampling_takes_its_clusters_for_degrees_of_freedom():
    drawn = [Measure.of(Estimate("x", v, 0.1, v - 0.2, v + 0.2, 50, 10, "bootstrap", np.nan), "c")
             for v in (1.0, 1.1)]
    found = pool(drawn)
    assert np.isfinite([found.low, found.high]).all() and found.low < 1 < 1.1 < found.high


def test_different_metrics_do_not_mix():
    with pytest.raises(InvalidValueError):
        pool([slope(1.0), slope(1.0, name="refusal_rate")])


def simulated(p, icc, n, m, shared, runs, seed=0):
    """Ones of m seeds, (runs, m), and the rate of one more model, (runs,).

    Rates of models are beta with mean `p` and variance ``icc p (1 - p)``. An item is failed where
    its difficulty is below the model's rate; a share `shared` of difficulty is the item's own.
    """
    rng = np.random.default_rng([seed, n, m])
    rates = np.full((runs, m + 1), p)
    if icc:
        rates = rng.beta(p * (1 / icc - 1), (1 - p) * (1 / icc - 1), (runs, m + 1))
    own, fresh = rng.standard_normal((runs, 1, n)), rng.standard_normal((runs, m, n))
    difficulty = stats.norm.cdf(np.sqrt(shared) * own + np.sqrt(1 - shared) * fresh)
    return (difficulty < rates[:, :m, None]).sum(2), rates[:, m]


def coverage(ones, fresh, n, interval):
    limits = np.array([interval(wilson(row, n)) for row in ones])
    return ((limits[:, 0] <= fresh + 1e-9) & (fresh <= limits[:, 1] + 1e-9)).mean()


def pooled_limits(measures):
    found = pool(measures)
    return found.low, found.high


@pytest.mark.parametrize(("p", "icc", "n", "m"), [
    (0.01, 0.0, 176, 3), (0.01, 0.005, 176, 3), (0.05, 0.005, 176, 5), (0.2, 0.005, 176, 3),
    (0.5, 0.005, 176, 3), (0.02, 0.02, 40, 3), (0.2, 0.02, 40, 5), (0.98, 0.005, 88, 3),
])
def test_pooled_shares_cover_a_freshly_trained_model(p, icc, n, m):
    ones, fresh = simulated(p, icc, n, m, shared=1.0, runs=600)
    assert 0.92 <= coverage(ones, fresh, n, pooled_limits) <= 0.995


def test_seeds_that_fail_on_different_items_are_covered_too_often_not_too_rarely():
    ones, fresh = simulated(0.1, 0.005, 88, 3, shared=0.3, runs=600)
    assert coverage(ones, fresh, 88, pooled_limits) > 0.95


def test_symmetric_limits_and_widest_limits_would_fail():
    """Why Rubin's own interval is not taken for shares, nor the outermost limits of the seeds."""
    ones, fresh = simulated(0.01, 0.0, 176, 3, shared=1.0, runs=600)
    wald = coverage(ones, fresh, 176, lambda s: (combine(s).low, combine(s).high))
    ones, fresh = simulated(0.2, 0.1, 176, 3, shared=1.0, runs=600)
    widest = coverage(ones, fresh, 176, lambda s: (min(e.low for e in s), max(e.high for e in s)))
    ours = coverage(ones, fresh, 176, pooled_limits)
    assert wald < 0.88 and widest < 0.8 and ours > widest + 0.1


def test_clustered_rates_of_item_frames_cover_too():
    """The same with `rate`: things asked about in two phrasings each, alike for one thing."""
    rng, hits = np.random.default_rng(3), 0
    for _ in range(150):
        rates = rng.beta(0.1 * 199, 0.9 * 199, 4)
        things = rng.standard_normal((40, 1))
        hard = stats.norm.cdf(np.sqrt(0.7) * things + np.sqrt(0.3) * rng.standard_normal((40, 2)))
        frames = [pd.DataFrame({"y": (hard < q).ravel().astype(float),
                                "cluster": np.repeat(np.arange(40), 2)}) for q in rates[:3]]
        found = pool([Measure.share(rate(f, "y", "r"), "c") for f in frames])
        hits += found.covers(rates[3])
    assert 0.89 <= hits / 150 <= 0.995


def test_tables_pool_row_by_row_in_their_order():
    tables = [measure_table([slope(v), *wilson([k], 40)]) for v, k in ((0.9, 1), (1.1, 3))]
    found = pool_tables(tables)
    assert found["metric"].tolist() == ["pronoun_slope", "refusal_rate"]
    assert found["value"].tolist() == pytest.approx([1.0, 2 / 40])
    share = pool(wilson([1, 3], 40))
    assert found.loc[1, ["low", "high"]].tolist() == pytest.approx([share.low, share.high])


def test_a_metric_that_a_seed_lacks_is_named_as_a_problem():
    full = measure_table([slope(1.0), *wilson([1], 40)])
    with pytest.raises(InvalidValueError, match="2 seeds"):
        pool_tables([full, full.iloc[:1]])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_step_down_of_its_definition(pvalues):
    order = np.argsort(pvalues, kind="stable")
    expected, running = np.empty(len(pvalues)), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(pvalues) - rank) * pvalues[i]))
        expected[i] = running
    assert np.allclose(holm(pvalues), expected)


def test_holm_takes_estimates():
    tests = [estimate(0.2), estimate(0.3)]
    assert np.allclose(holm(tests), holm([t.pvalue() for t in tests]))
    with pytest.raises(InvalidValueError):
        holm([1.2])


def test_the_minimum_detectable_effect_is_found_with_its_power():
    assert minimum_detectable(1.0) == pytest.approx(2.8016, abs=1e-4)
    effect = minimum_detectable(0.1, df=20, power=0.9)
    shift = effect / 0.1
    found = stats.nct.sf(stats.t.ppf(0.975, 20), 20, shift)
    assert found == pytest.approx(0.9, abs=0.01)
    assert effect > minimum_detectable(0.1, power=0.9)
