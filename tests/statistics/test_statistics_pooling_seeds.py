"""Seeds pooled: equal to Rubin's rules where those hold, calibrated where they do not."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from lib.errors import InvalidValueError
from lib.statistics.estimate import Estimate, Measure, measure_table, t_interval
from lib.statistics.pooling import combine_seeds, pool, pool_tables
from lib.statistics.shares import rate


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
    found, rubin = pool(measures), combine_seeds(measures)
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
    wald = coverage(ones, fresh, 176, lambda s: (combine_seeds(s).low, combine_seeds(s).high))
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
