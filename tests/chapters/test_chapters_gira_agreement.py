"""Agreement with published trials: formulas by hand, other packages' tests, planted differences."""

import numpy as np
import pandas as pd
import pytest
from benchmark_data import needs
from scipy import stats

from lib.chapters import gira_agreement as agreement
from lib.errors import InvalidValueError
from lib.measures.benchmarks import gira2022, stereoset
from lib.measures.benchmarks.stereoset import stereoset_scores

FIRST = ["arm", "condition", "metric", "value", "low", "high", "n", "seeds"]


def trials(values, arm="ln", metric="SS"):
    return pd.DataFrame({"arm": arm, "trial": range(len(values)), "domain": "gender",
                         "metric": metric, "value": values})


def draw(mean, count, seed, sd=1.3):
    return np.random.default_rng(seed).normal(mean, sd, count)


def test_welch_by_the_formula_and_by_another_package():
    ours, theirs = draw(60, 5, 0, 0.5), draw(61, 10, 1, 2.0)
    row = agreement.compare(trials(ours), trials(theirs)).iloc[0]
    parts = [x.var(ddof=1) / len(x) for x in (ours, theirs)]
    se, value = np.sqrt(sum(parts)), ours.mean() - theirs.mean()
    df = sum(parts) ** 2 / (parts[0] ** 2 / 4 + parts[1] ** 2 / 9)
    reach = stats.t.ppf(0.975, df) * se
    assert (row["value"], row["low"], row["high"]) == pytest.approx(
        (value, value - reach, value + reach)
    )
    assert row["p_welch"] == pytest.approx(stats.ttest_ind(ours, theirs, equal_var=False).pvalue)
    one_sided = [
        stats.ttest_ind(ours + 1.5, theirs, equal_var=False, alternative="greater").pvalue,
        stats.ttest_ind(ours - 1.5, theirs, equal_var=False, alternative="less").pvalue,
    ]
    assert row["p_equal"] == pytest.approx(max(one_sided))


def test_columns_and_counts():
    table = agreement.compare(trials(draw(60, 3, 0)), trials(draw(60, 10, 1)))
    assert list(table)[:8] == FIRST
    row = table.iloc[0]
    assert row[["arm", "condition", "metric", "n", "seeds", "margin"]].tolist() == [
        "ln", "gender", "SS_difference", 13, 3, 1.5
    ]


@pytest.mark.parametrize("shift, different, equal", [
    (0.0, False, True), (1.0, True, True), (1.5, True, False), (4.0, True, False),
])
def test_a_planted_difference_is_found_and_judged(shift, different, equal):
    theirs = draw(60, 200, 2)
    row = agreement.compare(trials(theirs + shift), trials(theirs)).iloc[0]
    assert row["value"] == pytest.approx(shift)
    assert (row["p_welch"] < 0.05, row["p_equal"] < 0.05) == (different, equal)


def test_equal_is_where_the_ninety_percent_interval_is_inside_the_margin():
    theirs = draw(60, 10, 3)
    for shift in np.linspace(-2, 2, 21):
        ours = draw(60 + shift, 10, 4)
        p = agreement.compare(trials(ours), trials(theirs))["p_equal"].item()
        interval = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.9)
        assert (p < 0.05) == (-1.5 < interval.low and interval.high < 1.5)


def test_equivalence_test_keeps_its_level_at_the_margin():
    found = [
        agreement.compare(trials(draw(61.5, 10, 2 * s)), trials(draw(60, 10, 2 * s + 1)))
        for s in range(300)
    ]
    rate = (pd.concat(found)["p_equal"] < 0.05).mean()
    assert rate < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)


@needs("gira2022")
def test_official_arms_against_each_other():
    """Theirs against theirs: LN and LN + WPE are not told apart, the full model is elsewhere."""
    official = gira2022.official_results().query("domain == 'gender'")
    ln, wpe, wte = (official[official["arm"] == arm] for arm in ("ln", "ln_wpe", "ln_wpe_wte"))
    same = agreement.compare(wpe.assign(arm="ln"), ln).set_index("metric")
    assert same.loc["SS_difference", "value"] == pytest.approx(60.3423 - 60.0742, abs=1e-4)
    assert same.loc["SS_difference", "p_welch"] > 0.5 and (same["n"] == 20).all()
    apart = agreement.compare(wte.assign(arm="ln"), ln).set_index("metric")
    assert apart.loc["SS_difference", "value"] == pytest.approx(64.7111 - 60.0742, abs=1e-4)
    assert apart.loc["SS_difference", "p_welch"] < 1e-6


@needs("gira2022", "stereoset")
def test_a_trial_of_the_untrained_model_is_their_baseline():
    scored = stereoset.with_scores(stereoset.intrasentence(), stereoset.published_scores())
    found = agreement.trial("ln", 3, scored)
    theirs = gira2022.baseline_results().query("domain == 'gender'").set_index("metric")["value"]
    assert found.set_index("metric")["value"].to_dict() == theirs.to_dict()
    assert set(found["trial"]) == {3} and set(gira2022.official_results()) == set(found)


def test_only_the_development_split_counts():
    rows = pd.DataFrame({"split": ["dev", "test"], "target": "t", "stereotype": [3.0, 1.0],
                         "antistereotype": [2.0, 2.0], "unrelated": 0.0})
    found = agreement.trial("ln", 0, rows).set_index("metric")["value"]
    assert found["SS"] == 100 and stereoset_scores(rows)["SS"] == 50


def test_refusals():
    good = trials(draw(60, 3, 0))
    with pytest.raises(InvalidValueError, match="1 and 3 for ln, gender, SS"):
        agreement.compare(good.head(1), good)
    with pytest.raises(InvalidValueError, match="3 and 0 for full"):
        agreement.compare(good.assign(arm="full"), good)
    with pytest.raises(InvalidValueError, match="a margin"):
        agreement.compare(good, good, margins={"LMS": 1.0})
    with pytest.raises(InvalidValueError, match="no column domain"):
        agreement.compare(good.drop(columns="domain"), good)
