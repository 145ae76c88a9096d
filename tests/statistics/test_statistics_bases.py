"""Runs on several bases: against scipy's t tests, statsmodels' mixed model, and simulation."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from lib.errors import InvalidValueError
from lib.statistics.bases import (
    CELL,
    RUN_COLUMNS,
    broken,
    changes,
    contrast,
    detectable,
    family,
    holm,
    over_bases,
    predicted,
    run_row,
    run_rows,
    variances,
)
from lib.statistics.estimate import Estimate, Measure, measure_table
from lib.statistics.regressions import by_condition, implied_persistence
from lib.statistics.shares import rate
from tests.statistics.estimator_frames import ar1_frame

WORLDS = 600
SPARE = 3.5 * np.sqrt(0.95 * 0.05 / WORLDS)
"""How far a coverage of 95 % may fall by chance: three and a half standard errors."""


def runs_of(values, arm="tuned", metric="slope", condition="all", **columns):
    """A run table of values of shape ``(bases, seeds)``; seed 0 for the arm ``base``."""
    values = np.asarray(values, dtype=float)
    base, seed = np.indices(values.shape)
    given = {"se": np.nan, "df": np.nan, "n": 100, "least": -np.inf, "most": np.inf} | columns
    table = pd.DataFrame({"arm": arm, "condition": condition, "metric": metric,
                          "base": base.ravel() + 1, "seed": seed.ravel() + (arm != "base"),
                          "value": values.ravel(), **given})
    return table[[*RUN_COLUMNS, *(c for c in table if c not in RUN_COLUMNS)]]


def shares_of(values, arm="tuned", **columns):
    """Shares of refusals, without items unless told."""
    return runs_of(values, arm, "refusal_rate", **{"least": 0.0, "most": 1.0} | columns)


def worlds_of(values, **columns):
    """`runs_of` many simulated studies, each one a condition; shape ``(worlds, bases, seeds)``."""
    return pd.concat([runs_of(v, condition=i) for i, v in enumerate(values)],
                     ignore_index=True).assign(**columns)


def covered(found, truth):
    return ((found["low"] <= truth) & (truth <= found["high"])).mean()


def one(table):
    assert len(table) == 1
    return table.iloc[0]


def test_runs_rows_carry_the_range_and_errors_over_clusters():
    measure = Measure.share(Estimate("r", 0.9, 0.05, 0.8, 1.0, 60, 20, "Wilson"), "unseen")
    found = one(run_rows(measure_table([measure]), "full", 3, 2))
    assert list(found.index) == RUN_COLUMNS
    assert (found.arm, found.condition, found.metric, found.base, found.seed) == (
        "full", "unseen", "r", 3, 2)
    # The share's own interval is Wilson's (df infinite); its error has 19 degrees of freedom.
    assert (found.value, found.se, found.df, found.n, found.least, found.most) == (
        0.9, 0.05, 19, 60, 0, 1)
    again = one(run_row(measure, "full", "unseen", 3, 2))
    assert again.to_dict() == found.to_dict()


def test_runs_rows_of_a_regression_by_condition():
    frame = pd.concat([ar1_frame(rho, 10, 6) for rho in (0.0, 0.8)])
    frame["forecast"] = 0.9 * frame["x"] + frame.groupby("rho").cumcount() % 3
    table = by_condition(frame, implied_persistence)
    found = run_rows(table, "base", 1, 0)
    assert found["condition"].tolist() == [0.0, 0.8]
    assert found["value"].tolist() == table["value"].tolist()
    assert (found["least"] == -np.inf).all() and (found["df"] == table["df"]).all()


def test_one_value_a_base_is_the_t_test_of_bases():
    values = np.random.default_rng(0).normal(0.3, 0.2, (12, 1))
    found = one(over_bases(runs_of(values)))
    t = stats.ttest_1samp(values.ravel(), 0)
    assert found[["low", "high"]].tolist() == pytest.approx(list(t.confidence_interval()))
    assert (found.value, found.bases, found.runs) == (pytest.approx(values.mean()), 12, 12)
    assert contrast(runs_of(values), "slope", "tuned", None).pvalue() == pytest.approx(
        max(t.pvalue, 2**-11))


def test_two_seeds_a_base_is_the_mixed_model_of_runs_in_bases():
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, (12, 1)) + rng.normal(0, 0.5, (12, 2))
    runs = runs_of(values)
    fit = smf.mixedlm("value ~ 1", runs, groups=runs["base"]).fit(reml=True)
    found = contrast(runs, "slope", "tuned", None)
    assert found.value == pytest.approx(fit.params["Intercept"])
    assert found.se == pytest.approx(fit.bse["Intercept"], rel=1e-3)
    assert found.df == pytest.approx(11)


def test_two_seeds_that_agree_are_no_more_evidence_than_one():
    values = np.random.default_rng(2).normal(0, 1, (12, 1))
    single, double = (one(over_bases(runs_of(np.repeat(values, s, axis=1)))) for s in (1, 2))
    assert double[["value", "low", "high"]].tolist() == pytest.approx(
        single[["value", "low", "high"]].tolist())
    assert (single.runs, double.runs) == (12, 24)


def test_items_that_all_bases_share_are_not_averaged_away():
    rng = np.random.default_rng(3)
    items = rng.normal(0, 1, (WORLDS, 1, 40))  # the same for all bases
    bases = rng.normal(0, 0.1, (WORLDS, 12, 1))
    scores = items + bases + rng.normal(0, 0.3, (WORLDS, 12, 40))
    se = scores.std(axis=-1, ddof=1) / np.sqrt(40)
    found = over_bases(worlds_of(scores.mean(axis=-1)[..., None], se=se.ravel(), df=39.0))
    assert 0.95 - SPARE < covered(found, 0) < 0.975 + SPARE


def test_one_base_has_the_interval_over_its_items():
    frame = pd.DataFrame({"y": [1.0] * 37 + [0.0] * 3, "cluster": range(40)})
    found = one(over_bases(run_row(Measure.share(rate(frame, "y", "r"), "all"), "a", "all", 1, 1)))
    # Wilson's, with t in place of 1.96.
    wilson = proportion_confint(37, 40, alpha=2 * stats.norm.sf(stats.t.ppf(0.975, 39)),
                                method="wilson")
    assert found[["low", "high"]].tolist() == pytest.approx(wilson)
    assert found.bases == 1
    alone = one(over_bases(runs_of([[0.4]])))
    assert alone.value == 0.4 and np.isnan(alone.low) and np.isnan(alone.high)


def test_shares_never_have_an_interval_without_width_nor_leave_the_range():
    for value in (0.0, 1.0):
        found = one(over_bases(shares_of(np.full((12, 2), value), se=0.0, df=43.0)))
        assert 0 <= found.low <= value <= found.high <= 1
        # All agree, on 44 groups of items.
        assert found.high - found.low == pytest.approx(1 - 1 / (1 + stats.t.ppf(0.975, 43)**2 / 44))
    table = pd.concat([shares_of(np.full((12, 1), 0.97), "base", se=0.02, df=43.0),
                       shares_of(np.full((12, 2), 0.97), se=0.02, df=43.0)])
    change = one(over_bases(changes(table)))
    assert change.value == 0 and -0.1 < change.low < 0 < change.high < 0.1


def test_cells_keep_their_order_and_what_is_constant_in_them():
    table = pd.concat([runs_of([[1.0], [2.0]], arm, condition=c, attack=c.upper(), note=[1, 2])
                       for arm in ("z", "a") for c in ("y", "b")], ignore_index=True)
    found = over_bases(table)
    assert found[["arm", "condition"]].to_numpy().tolist() == [
        ["z", "y"], ["z", "b"], ["a", "y"], ["a", "b"]]
    assert list(found) == [*CELL, "value", "low", "high", "n", "bases", "runs", "attack"]
    assert found["attack"].tolist() == ["Y", "B", "Y", "B"]


def test_a_run_without_a_value_is_left_out_and_a_cell_without_any_says_so():
    found = one(over_bases(runs_of([[1.0], [3.0], [np.nan]])))
    assert (found.value, found.bases, found.runs) == (2.0, 2, 2)
    nothing = one(over_bases(runs_of([[np.nan], [np.nan]])))
    assert np.isnan(nothing.value) and np.isnan(nothing.low) and nothing.bases == 0
    with pytest.raises(InvalidValueError, match="run table with rows"):
        over_bases(runs_of([[1.0]]).iloc[:0])


def test_changes_are_paired_by_base_and_by_seed_where_there_is_one():
    before = runs_of([[1.0], [2.0]], "base")
    full = runs_of([[1.5, 1.7], [2.1, 2.3]], "full")
    mix = runs_of([[1.0, 1.1], [2.0, 2.2]], "mix")
    table = pd.concat([before, full, mix], ignore_index=True)
    found = changes(table)
    assert found["value"].to_numpy() == pytest.approx([.5, .7, .1, .3, 0, .1, 0, .2])
    assert set(found["metric"]) == {"slope_change"} and "base" not in set(found["arm"])
    rivals = changes(table[table.arm != "base"], "mix")
    assert rivals["value"].to_numpy() == pytest.approx([.5, .6, .1, .1])


def test_changes_refuse_a_base_that_the_other_arm_lacks_and_skip_what_it_never_has():
    table = pd.concat([runs_of([[1.0], [2.0]], "base"), runs_of([[1.0], [2.0], [3.0]])])
    with pytest.raises(InvalidValueError, match=r"none on \[3\]"):
        changes(table)
    with pytest.raises(InvalidValueError, match="the arm mix"):
        changes(table, "mix")
    drift = runs_of([[0.5], [0.6]], metric="drift")
    assert set(changes(pd.concat([table[table.base < 3], drift]))["metric"]) == {"slope_change"}


def test_a_change_has_a_range_twice_as_wide():
    found = changes(pd.concat([shares_of([[1.0], [0.9]], "base"), shares_of([[0.2], [0.4]])]))
    assert found["least"].eq(-1).all() and found["most"].eq(1).all()


def test_broken_runs_lost_more_than_half_of_what_their_base_had():
    table = pd.concat([shares_of([[0.8], [1.0], [0.0]], "base"),
                       shares_of([[0.4, 0.39], [0.0, 0.9], [0.0, 0.0]])])
    found = broken(table)
    assert found["value"].tolist()[:4] == [0, 1, 1, 0] and found["value"][4:].isna().all()
    assert set(found["metric"]) == {"broken_share"}
    assert one(over_bases(found)).bases == 2


@pytest.mark.parametrize("count", [0, 3, 12])
def test_the_broken_share_has_wilson_limits_over_bases(count):
    after = np.where(np.arange(12) < count, 0.0, 1.0)[:, None]
    found = one(over_bases(broken(pd.concat([shares_of(np.ones((12, 1)), "base"),
                                             shares_of(np.repeat(after, 2, axis=1))]))))
    assert found.value == count / 12 and found.runs == 24
    wilson = proportion_confint(count, 12, method="wilson")
    assert found[["low", "high"]].tolist() == pytest.approx(wilson, abs=1e-12)


def test_a_contrast_is_the_paired_t_test_but_never_below_the_sign_test():
    rng = np.random.default_rng(4)
    before, after = rng.normal(1, 0.3, (6, 1)), rng.normal(0.5, 0.3, (6, 2))
    table = pd.concat([runs_of(before, "base"), runs_of(after)])
    found, test = contrast(table, "slope", "tuned"), stats.ttest_rel(after.mean(1), before[:, 0])
    assert found.value == pytest.approx((after.mean(1) - before[:, 0]).mean())
    assert [found.low, found.high] == pytest.approx(list(test.confidence_interval()))
    assert found.pvalue() == pytest.approx(max(test.pvalue, 2**-5))
    certain = contrast(pd.concat([runs_of(np.zeros((6, 1)), "base"), runs_of(np.ones((6, 1)))]),
                       "slope", "tuned")
    assert certain.pvalue() == 2**-5


def test_a_contrast_averages_conditions_within_a_run_unless_one_is_named():
    table = pd.concat([runs_of(np.array(v)[:, None], arm, condition=c)
                       for arm, c, v in (("base", 0.0, [1, 1]), ("base", 0.8, [2, 2]),
                                         ("tuned", 0.0, [2, 3]), ("tuned", 0.8, [4, 7]))])
    assert contrast(table, "slope", "tuned").value == pytest.approx(2.5)
    assert contrast(table, "slope", "tuned", condition=0.8).value == pytest.approx(3.5)
    shares = broken(pd.concat([shares_of(np.ones((12, 1)), "base"), shares_of([[0.0]] * 12)]))
    assert contrast(shares, "broken_share", "tuned", None).low == pytest.approx(
        proportion_confint(12, 12, method="wilson")[0])
    spread = stats.sem([1.5, 3.5])
    assert contrast(table, "slope", "tuned").se == pytest.approx(spread)


def test_a_family_is_corrected_together_and_what_is_not_defined_is_no_test():
    rng = np.random.default_rng(5)
    arms = {"a": 2.0, "b": 0.3, "c": np.nan}
    table = pd.concat([runs_of(rng.normal(m, 0.4, (12, 1)), arm) for arm, m in arms.items()])
    found = family(table)
    raw = [contrast(table, "slope", arm, None).pvalue() for arm in ("a", "b")]
    assert found["p"][:2].tolist() == pytest.approx(raw)
    assert found["p_holm"][:2].tolist() == pytest.approx(multipletests(raw, method="holm")[1])
    assert np.isnan(found["p_holm"][2])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_step_down_of_its_definition(pvalues):
    order = np.argsort(pvalues, kind="stable")
    expected, running = np.empty(len(pvalues)), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(pvalues) - rank) * pvalues[i]))
        expected[i] = running
    assert np.allclose(holm(pvalues), expected)


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_prediction_holds_one_run_on_a_new_base(seeds):
    rng = np.random.default_rng(6)
    values = rng.normal(0, 1, (WORLDS, 7, 1)) + rng.normal(0, 1, (WORLDS, 7, seeds))
    found = predicted(worlds_of(values[:, :6]))
    # The seventh base's first run is the new one.
    assert abs(covered(found, values[:, 6, 0]) - 0.95) < SPARE


def test_a_prediction_stays_in_the_range_and_is_never_narrower_than_the_mean():
    coins = shares_of([[1.0], [0.0], [1.0], [1.0]], se=0.0, df=43.0)
    found = one(predicted(coins))
    assert (found.low, found.high) == (0, 1)
    same = shares_of(np.ones((4, 1)), se=0.0, df=43.0)
    assert one(predicted(same)).low == one(over_bases(same)).low < 1
    alone = one(predicted(shares_of([[1.0]])))
    assert np.isnan([alone.low, alone.high]).all() and alone.value == 1


def test_variances_are_those_of_the_mixed_model():
    rng = np.random.default_rng(8)
    runs = runs_of(rng.normal(0, 1, (40, 1)) + rng.normal(0, 0.5, (40, 3)))
    fit = smf.mixedlm("value ~ 1", runs, groups=runs["base"]).fit(reml=True)
    found = one(variances(runs))
    assert found["between"] == pytest.approx(float(fit.cov_re.iloc[0, 0]), rel=1e-3)
    assert found["run"] == pytest.approx(fit.scale, rel=1e-3)
    single = one(variances(runs[runs["seed"] == 1]))
    first = runs.loc[runs["seed"] == 1, "value"]
    assert (single["between"], single["run"]) == (pytest.approx(first.var()), 0)
    alike = one(variances(runs_of(rng.permuted(np.tile([0.0, 1.0], (9, 1)), axis=1))))
    assert alike["between"] == 0 and alike["run"] == pytest.approx(0.5)


@pytest.mark.parametrize(("bases", "seeds"), [(4, 1), (12, 2)])
def test_the_detectable_change_is_found_four_times_in_five(bases, seeds):
    effect = detectable(0.04, bases, run=0.02, seeds=seeds)
    rng = np.random.default_rng(7)
    found = effect + rng.normal(0, 0.2, (20_000, bases)) + rng.normal(
        0, np.sqrt(0.02), (20_000, bases, seeds)).mean(axis=-1)
    assert (stats.ttest_1samp(found, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(
        0.8, abs=0.012)


def test_what_no_change_could_reach_is_not_detectable():
    assert np.isnan(detectable(0.25, 2, most=1.0))
    assert detectable(0.25, 12, most=1.0) < 1
    # More bases do not shrink what the items add.
    assert detectable(0.0, 10**4, items=0.01) == pytest.approx(0.28, rel=0.01)


def test_with_one_base_no_change_is_found_however_large():
    assert np.isnan(detectable(0.1, 1)) and np.isnan(detectable(0.0, 1))
