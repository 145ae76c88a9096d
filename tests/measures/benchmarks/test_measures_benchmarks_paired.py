"""Paired comparison of arms: tails of the binomial, loops of the bootstrap, simulated power."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from stereoset_arms import arm, loop

from lib.errors import InvalidValueError
from lib.measures.benchmarks import paired
from lib.measures.benchmarks import paired as resampling
from lib.measures.benchmarks.stereoset import stereoset_scores
from lib.statistics.pooling import minimum_detectable


def choices(both, before, after, neither):
    counts = (both, before, after, neither)
    one, two = (np.repeat(bits, counts) for bits in ([1, 1, 0, 0], [1, 0, 1, 0]))
    return pd.Series(one), pd.Series(two)


cells = st.tuples(*[st.integers(0, 12)] * 4).filter(lambda c: sum(c) > 0)


@given(cells)
def test_mcnemar_is_a_binomial_test_of_the_items_that_differ(counts):
    found = paired.compare_choices(*choices(*counts))
    assert (found.both, found.before, found.after, found.neither) == counts
    differ = counts[1] + counts[2]
    truth = stats.binomtest(counts[1], differ, 0.5).pvalue if differ else 1.0
    assert found.pvalue == pytest.approx(truth)
    assert found.difference == pytest.approx((counts[2] - counts[1]) / sum(counts))
    assert found.discordance == pytest.approx(differ / sum(counts))


def test_mcnemar_of_the_textbook():
    # Agresti, Categorical Data Analysis: approval of a prime minister, 150 and 86 changed.
    found = paired.compare_choices(*choices(794, 150, 86, 570))
    assert found.n == 1600 and found.difference == pytest.approx(-0.04)
    assert found.pvalue == pytest.approx(2 * stats.binom.cdf(86, 236, 0.5))


def test_order_of_items_does_not_matter():
    before, after = choices(5, 4, 1, 3)
    again = paired.compare_choices(before.sample(frac=1, random_state=0), after[::-1])
    assert again == paired.compare_choices(before, after)


def test_exact_test_keeps_its_level():
    rng, rejected = np.random.default_rng(0), 0
    for _ in range(400):
        one, two = rng.random((2, 60)) < 0.6
        rejected += paired.compare_choices(pd.Series(one), pd.Series(two)).pvalue < 0.05
    assert rejected / 400 < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)


def test_choices_of_a_frame():
    frame = arm(0)
    chosen = paired.stereotypical(frame)
    by_item = {row.item: row.stereotype > row.antistereotype for row in frame.itertuples()}
    assert chosen.to_dict() == by_item


@pytest.mark.parametrize("by", ["target", "item"])
def test_bootstrap_of_a_change_equals_its_loop(by):
    before, after = arm(0, shift=0.5), arm(1)
    found = paired.bootstrap_change(before, after, by, 60, seed=3)
    truth = loop([before, after], by, 60, seed=3)
    scores = [stereoset_scores(f) for f in (before, after)]
    for i, estimate in enumerate(found):
        metric = resampling.METRICS[i]
        assert estimate.name == f"{metric}_change"
        assert estimate.value == pytest.approx(scores[1][metric] - scores[0][metric])
        assert estimate.se == pytest.approx(truth[:, i].std(ddof=1))
        assert (estimate.low, estimate.high) == pytest.approx(
            np.quantile(truth[:, i], [0.025, 0.975])
        )


def test_a_pair_of_arms_is_told_apart_better_than_two_strangers():
    before = arm(4, 30, 10, shift=0.3)
    after = before.assign(stereotype=before["stereotype"] - 0.2)
    change = {e.name: e for e in paired.bootstrap_change(before, after, seed=0)}["SS_change"]
    _, one, _ = resampling.bootstrap(before, seed=0)
    _, other, _ = resampling.bootstrap(after, seed=0)
    assert change.se < 0.6 * np.hypot(one.se, other.se)
    assert change.high < 0


def test_no_change_has_no_error():
    frame = arm(5)
    for estimate in paired.bootstrap_change(frame, frame.sample(frac=1, random_state=1), seed=0):
        assert (estimate.value, estimate.low, estimate.high, estimate.se) == (0, 0, 0, 0)


@pytest.mark.parametrize("n, discordance", [(255, 0.2), (1026, 0.1), (1026, 0.4)])
def test_the_difference_is_found_four_times_of_five(n, discordance):
    d = paired.minimum_detectable_share(n, discordance)
    shares = [(discordance + d) / 2, (discordance - d) / 2, 1 - discordance]
    up, down, _ = np.random.default_rng(0).multinomial(n, shares, 40_000).T
    z = (up - down) / np.sqrt(np.maximum(up + down, 1))
    assert (z > stats.norm.ppf(0.975)).mean() == pytest.approx(0.8, abs=0.015)


def test_formula_of_connor():
    # Items needed for d, solved for n: d found with n items needs n items.
    d, psi, za, zb = 0.07, 0.2, stats.norm.ppf(0.975), stats.norm.ppf(0.8)
    n = ((za * np.sqrt(psi) + zb * np.sqrt(psi - d**2)) / d) ** 2
    assert paired.minimum_detectable_share(n, psi) == pytest.approx(d)


def test_it_is_a_little_less_than_with_the_error_of_no_difference():
    d = paired.minimum_detectable_share(1026, 0.1)
    bound = minimum_detectable(np.sqrt(0.1 / 1026))
    assert 0.98 * bound < d < bound


def test_too_few_differing_items_show_nothing():
    assert paired.minimum_detectable_share(255, 0.01) == np.inf
    assert paired.minimum_detectable_share(1, 1.0) == np.inf


def test_refusals():
    frame = arm(0)
    with pytest.raises(InvalidValueError, match="same items"):
        paired.bootstrap_change(frame, frame.iloc[1:], seed=0)
    with pytest.raises(InvalidValueError, match="one target"):
        paired.bootstrap_change(frame, frame.assign(target=frame["target"].to_numpy()[::-1]),
                                seed=0)
    with pytest.raises(InvalidValueError, match="choices of 0 or 1"):
        paired.compare_choices(pd.Series([0.5]), pd.Series([1]))
    with pytest.raises(InvalidValueError, match="same items"):
        paired.compare_choices(pd.Series([1], [0]), pd.Series([1], [1]))
    with pytest.raises(InvalidValueError, match="discordance above 0"):
        paired.minimum_detectable_share(10, 0.0)
    with pytest.raises(InvalidValueError, match="at least one item"):
        paired.minimum_detectable_share(0, 0.1)
