"""One-sided tests of harm against likelihoods, plain t tests, and simulated error rates."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar

from lib.errors import InvalidValueError
from lib.statistics.clusters import clustered_fit
from lib.statistics.noninferiority import (
    FAIL,
    OPEN,
    PASS,
    Harm,
    Judge,
    decided,
    effective_items,
    items_needed,
    mean_harm,
    overall,
    ratio_harm,
    score_variance,
    share_harm,
    slope_harm,
)


def alone(n: int) -> pd.Series:
    """Each item a cluster of its own."""
    return pd.Series(np.arange(n))


def moved(worse: int, better: int, n: int) -> np.ndarray:
    """Changes of `n` items, shape (n, 1)."""
    return np.r_[np.ones(worse), -np.ones(better), np.zeros(n - worse - better)][:, None]


@pytest.mark.parametrize(("worse", "better", "margin"), [
    (7, 2, 0.05), (0, 0, 0.1), (1, 0, 0.1), (30, 5, 0.02), (3, 9, 0.2), (4, 4, -0.1)])
def test_variance_is_that_of_the_constrained_likelihood(worse, better, margin):
    """Maximised by hand over the share that got better, the other being that plus the margin."""
    n = 80
    least, most = max(0.0, -margin), (1 - margin) / 2

    def loss(q):
        cells = np.array([q + margin, q, 1 - 2 * q - margin])
        counts = np.array([worse, better, n - worse - better])
        return -(counts * np.log(np.maximum(cells, 1e-300))).sum()

    q = optimize.minimize_scalar(loss, bounds=(least, most), method="bounded",
                                 options={"xatol": 1e-12}).x
    expected = (2 * q + margin - margin**2) / n
    found = score_variance(worse / n, better / n, n, margin)
    assert found == pytest.approx(expected, rel=1e-4)


def test_without_a_margin_it_is_mcnemars_test_with_half_an_item_taken_off():
    harm = share_harm(moved(14, 5, 120), alone(120))
    chi2 = mcnemar([[0, 14], [5, 0]], exact=False, correction=False).statistic
    z, df = harm.test(0.0)
    assert z == pytest.approx(np.sqrt(chi2) * (9 - 0.5) / 9) and df == 119


def test_no_change_in_few_items_is_no_proof():
    few, many = (share_harm(moved(0, 0, n), alone(n)) for n in (30, 300))
    assert few.p_within(0.05) > 0.05 > many.p_within(0.05)
    assert 2.5 / 300 < many.limits()[1] < 4 / 300  # about three over n


def test_means_are_t_tests_where_items_stand_alone():
    change = np.random.default_rng(1).normal(0.02, 0.1, 60)
    harm = mean_harm(change[:, None], alone(60))
    for name, side in (("p_within", "less"), ("p_beyond", "greater")):
        expected = stats.ttest_1samp(change, 0.05, alternative=side).pvalue
        assert getattr(harm, name)(0.05) == pytest.approx(expected)
    low, high = stats.t.interval(0.9, 59, change.mean(), stats.sem(change))
    assert harm.limits(0.05) == pytest.approx((low, high))


def test_slopes_and_ratios_are_what_their_names_say():
    rng = np.random.default_rng(2)
    x, size = rng.normal(size=50), rng.integers(3, 9, 50).astype(float)
    worse = (0.3 * x + rng.normal(0, 0.01, 50))[:, None]
    design = np.column_stack([np.ones(50), x])
    assert slope_harm(worse, design, alone(50)).value == pytest.approx(
        np.polyfit(x, worse[:, 0], 1)[0])
    nats = rng.normal(1, 0.1, 50)[:, None]
    assert ratio_harm(nats, size, alone(50)).value == pytest.approx(nats.sum() / size.sum())
    with pytest.raises(InvalidValueError, match="two clusters"):
        mean_harm(worse, pd.Series(np.zeros(50)))


@pytest.mark.parametrize(("shares", "n"), [
    ((0.05, 0.0), 200), ((0.08, 0.03), 150), ((0.25, 0.2), 100), ((0.05, 0.0), 60)])
def test_at_the_limit_each_verdict_is_rarely_reached(shares, n):
    """5 % of 900 samples, at most three standard errors more."""
    rng, margin = np.random.default_rng(n), shares[0] - shares[1]
    found = []
    for _ in range(900):
        change = rng.choice([1.0, -1.0, 0.0], n, p=[*shares, 1 - sum(shares)])
        harm = share_harm(change[:, None], alone(n))
        found.append((harm.p_within(margin) < 0.05, harm.p_beyond(margin) < 0.05))
    assert (np.mean(found, axis=0) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 900)).all()


def test_items_that_move_together_count_as_fewer():
    things = pd.Series(np.repeat(np.arange(50), 4))
    whole = np.repeat(np.r_[np.ones(10), np.zeros(40)], 4)
    assert 45 < effective_items(whole, things) < 75
    spread = np.tile([1.0, 0, 0, 0], 50)
    assert effective_items(spread, things) > 170
    assert effective_items(np.zeros(200), things) == pytest.approx(50)
    assert effective_items(whole, alone(200)) == 200


def test_items_count_by_the_error_of_a_clustered_mean():
    """All clusters move, so that the correlation is hardly drawn: Kish's n is that of CR2."""
    rng, things = np.random.default_rng(3), pd.Series(np.repeat(np.arange(400), 3), name="thing")
    change = rng.choice([-1.0, 1.0], 400)[things] * (rng.random(1200) < 0.9)
    fit = clustered_fit(change, np.ones((1200, 1)), things)
    assert effective_items(change, things) == pytest.approx(
        change.var(ddof=1) / fit.bse[0] ** 2, rel=0.01)


def test_clustered_shares_keep_their_level():
    rng, things = np.random.default_rng(5), pd.Series(np.repeat(np.arange(60), 3))
    passed = [share_harm(np.repeat(rng.random(60) < 0.06, 3).astype(float)[:, None],
                         things).p_within(0.06) < 0.05 for _ in range(500)]
    assert np.mean(passed) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


def test_seeds_of_a_recipe_add_how_they_differ():
    rng = np.random.default_rng(3)
    items = rng.normal(0, 0.01, (80, 4))
    same = mean_harm(items.mean(1, keepdims=True), alone(80))
    apart = mean_harm(items + np.array([-0.1, 0.1, -0.1, 0.1]), alone(80))
    assert apart.between == pytest.approx(np.var([-0.1, 0.1, -0.1, 0.1], ddof=1) / 4, rel=0.1)
    assert apart.p_within(0.05) > 0.1 > same.p_within(0.05)
    assert items_needed(apart, 0.05) == np.inf  # no number of items would tell


def test_a_judge_that_errs_shrinks_harms_and_is_corrected_for():
    seen = share_harm(moved(20, 0, 400), alone(400), Judge(900, 1000, 900, 1000))
    assert seen.limits()[0] < 0.05 / 0.8 < seen.limits()[1]
    sure = share_harm(moved(20, 0, 400), alone(400))
    assert sure.p_beyond(0.05) > seen.p_beyond(0.05)  # .05 seen are .0625
    assert sure.corrected == 0.05 and seen.corrected == pytest.approx(0.05 / 0.8, rel=0.01)
    rough = share_harm(moved(20, 0, 400), alone(400), Judge(9, 10, 9, 10))
    assert np.ptp(rough.limits()) > np.ptp(seen.limits())


def test_one_cluster_alone_decides_nothing():
    harm = share_harm(np.zeros((40, 1)), pd.Series(np.zeros(40)))
    assert harm.p_within(0.05) > 0.3 and harm.effective == 1


@pytest.mark.parametrize("seed", range(40))
def test_verdicts_and_intervals_agree(seed):
    rng = np.random.default_rng(seed)
    n, seeds = int(rng.integers(4, 80)), int(rng.integers(1, 4))
    worse = rng.choice([1.0, 0.0, -1.0], (n, seeds), p=rng.dirichlet([1, 4, 1]))
    harm = share_harm(worse, pd.Series(rng.integers(0, max(2, n // 2), n)), Judge(90, 100, 90, 100))
    low, high = harm.limits()
    assert low <= harm.corrected <= high
    for margin in (0.02, 0.1, 0.4):
        assert (harm.p_within(margin) < 0.05) == (high < margin)
        assert (harm.p_beyond(margin) < 0.05) == (low > margin)


def test_verdicts_and_what_they_make_together():
    good, bad, few = (share_harm(moved(k, 0, n), alone(n)) for k, n in
                      ((0, 400), (60, 400), (1, 20)))
    table = decided({"a": (good, 0.05), "b": (bad, 0.05), "c": (few, 0.05)})
    assert table["verdict"].tolist() == [PASS, FAIL, OPEN]
    assert (table["p_beyond_holm"] >= table["p_beyond"]).all()
    assert overall(table["verdict"]) == FAIL
    assert overall(table["verdict"][[0, 2]]) == OPEN and overall(table["verdict"][:1]) == PASS


def test_a_fail_is_adjusted_for_all_lines_and_a_pass_is_not():
    near = share_harm(moved(38, 0, 400), alone(400))  # p_beyond about 1e-4
    one = decided({"x": (near, 0.06)})
    many = decided({f"x{i}": (near if not i else share_harm(moved(0, 0, 400), alone(400)), 0.06)
                    for i in range(60)})
    assert one["verdict"][0] == FAIL and many["p_beyond_holm"][0] > one["p_beyond_holm"][0]
    assert (many["verdict"][1:] == PASS).all()


@pytest.mark.parametrize(("worse", "better", "allowed"), [(0.02, 0.0, 0.05), (0.06, 0.05, 0.05)])
def test_so_many_items_decide_with_the_power_asked_for(worse, better, allowed):
    rng = np.random.default_rng(7)
    first = share_harm(moved(round(worse * 400), round(better * 400), 400), alone(400))
    n = int(items_needed(first, allowed))
    passed = []
    for _ in range(600):
        change = rng.choice([1.0, -1.0, 0.0], n, p=[worse, better, 1 - worse - better])
        passed.append(share_harm(change[:, None], alone(n)).p_within(allowed) < 0.05)
    assert np.mean(passed) == pytest.approx(0.8, abs=0.07)


def test_a_harm_among_many_lines_needs_more_items_to_fail():
    rng, worse, allowed, lines = np.random.default_rng(8), 0.1, 0.05, 10
    first = share_harm(moved(40, 0, 400), alone(400))
    n = int(items_needed(first, allowed, lines=lines))
    assert n > items_needed(first, allowed)
    failed = [share_harm((rng.random(n) < worse).astype(float)[:, None], alone(n)).p_beyond(allowed)
              < 0.05 / lines for _ in range(600)]
    assert np.mean(failed) == pytest.approx(0.8, abs=0.07)
    fine = share_harm(moved(4, 4, 400), alone(400))
    assert items_needed(fine, allowed, lines=lines) == items_needed(fine, allowed)


def test_three_seeds_tell_less_than_many_that_vary_as_much():
    of = [Harm(0.0, 400, 400, 4e-5, 399.0, seeds=seeds, between=1e-4) for seeds in (3, 1000)]
    few, many = (items_needed(harm, 0.05) for harm in of)
    assert few > many > 1
    short = Harm(0.0, 400, 400, 4e-5 * 400 / few, few - 1, seeds=3, between=1e-4)
    t, df = short.test(0.05)
    assert -t - stats.t.ppf(0.95, df) == pytest.approx(stats.t.ppf(0.8, df), rel=0.05)


def test_what_does_not_vary_shows_as_much_as_a_sign_test():
    few, more = (mean_harm(np.zeros((n, 1)), alone(n)) for n in (4, 10))
    assert more.limits() == (0.0, 0.0) and more.p_within(0.05) == 2.0**-10
    assert few.p_within(0.05) == 2.0**-4 and few.limits() == (-np.inf, np.inf)
    assert items_needed(few, 0.05) == 5
    assert items_needed(Harm(0.05, 10, 10, 1e-4, 9.0), 0.05) == np.inf
