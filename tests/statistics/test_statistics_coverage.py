"""Simulated studies are as planted, and their intervals cover as independent counts say."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from lib.statistics.bases import changes, over_bases
from lib.statistics.coverage import (
    ARMS,
    BROKEN,
    INTACT,
    QUESTIONS,
    SPREADS,
    THINGS,
    Arm,
    base_coverage,
    simulate_runs,
)
from lib.statistics.shares import rate

COIN, FIFTH, RARE, KEPT, WORSE = ARMS


def coverage(arm, bases, seeds, studies=600):
    table = base_coverage([arm], [(bases, seeds)], studies, seed=4)
    return table.set_index("metric")["coverage"]


def test_an_arm_breaks_as_many_runs_as_planted_and_seeds_of_a_base_together():
    runs, truths = simulate_runs(FIFTH, 500, 2, 4, seed=1)
    tuned = runs[runs["arm"] == "tuned"]
    fell = (tuned["value"] < 0.5).to_numpy().reshape(-1, 2)
    assert fell.mean() == pytest.approx(0.2, abs=0.03)
    # Beta of concentration c: correlation 1 / (1 + c).
    assert np.corrcoef(fell.T)[0, 1] == pytest.approx(1 / 1.6, abs=0.06)
    assert truths["broken_share"] == 0.2
    assert truths["refusal_rate"] == pytest.approx(0.8 * INTACT + 0.2 * BROKEN)
    assert tuned["value"].mean() == pytest.approx(truths["refusal_rate"], abs=0.03)


@pytest.mark.parametrize("kept", [0.98, 0.9])
def test_levels_that_keep_are_the_mean_over_logits(kept):
    runs, truths = simulate_runs(Arm("kept", kept=kept), 600, 1, 25, seed=2)
    found = runs.groupby("arm")["value"].mean()
    assert found["tuned"] == pytest.approx(kept, abs=0.006) == truths["refusal_rate"]
    assert found["base"] == pytest.approx(0.99, abs=0.004)
    # Of many bases, the change on a study's things is the truth of that study.
    mean = changes(runs).groupby("condition")["value"].mean()
    assert np.corrcoef(mean, truths["refusal_rate_change"])[0, 1] > 0.6
    assert mean.to_numpy() == pytest.approx(truths["refusal_rate_change"], abs=0.01)


def test_errors_of_runs_are_those_of_the_rate():
    """The same answers, item by item, through `lib.statistics.shares`."""
    rng = np.random.default_rng(3)
    runs, _ = simulate_runs(Arm("kept", kept=0.9), 1, 1, 5, seed=np.random.default_rng(3))
    logits = rng.normal(0, SPREADS["thing"], (5, 1, 1, THINGS))
    base = rng.normal(0, SPREADS["base"], (5, 1, 1, 1))
    answers = []
    for level in (0.99, 0.9):
        both = rng.normal(0, SPREADS["both"], (5, 1, 1, THINGS))
        answers.append(rng.binomial(QUESTIONS, expit(_mean_logit(level) + logits + base + both)))
    for study, counts in enumerate(answers[1][:, 0, 0]):
        items = pd.DataFrame({"y": (np.arange(QUESTIONS) < counts[:, None]).astype(float).ravel(),
                              "cluster": np.repeat(np.arange(THINGS), QUESTIONS)})
        told = runs[(runs["arm"] == "tuned") & (runs["condition"] == study)].iloc[0]
        one = rate(items, "y", "r")
        assert (told["value"], told["se"]) == (pytest.approx(one.value), pytest.approx(one.se))


def _mean_logit(level):
    sd = np.sqrt(sum(s**2 for s in SPREADS.values()))
    z = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    grid = np.linspace(0, 10, 400)
    return np.interp(level, [expit(m + sd * z).mean() for m in grid], grid)


def test_coverage_is_counted_study_by_study():
    table = base_coverage([COIN], [(4, 1)], 30, seed=7).set_index("metric")
    runs, truths = simulate_runs(COIN, 4, 1, 30, seed=np.random.SeedSequence([7, 0, 4, 1]))
    hits = [over_bases(study).iloc[0] for _, study in changes(runs).groupby("condition")]
    truth = truths["refusal_rate_change"]
    assert table.loc["refusal_rate_change", "coverage"] == np.mean(
        [one.low <= truth <= one.high for one in hits])
    assert table.loc["refusal_rate_change", "width"] == pytest.approx(
        np.mean([one.high - one.low for one in hits]))
    pd.testing.assert_frame_equal(table, base_coverage([COIN], [(4, 1)], 30, seed=7)
                                  .set_index("metric"))


@pytest.mark.parametrize("arm", [COIN, FIFTH, RARE])
@pytest.mark.parametrize("seeds", [1, 2])
def test_broken_shares_of_twelve_bases_are_covered(arm, seeds):
    assert 0.93 < coverage(arm, 12, seeds)["broken_share"] < 0.995


@pytest.mark.parametrize(("bases", "seeds"), [(4, 1), (12, 1), (12, 2)])
def test_changes_of_arms_that_keep_are_covered(bases, seeds):
    for arm in (KEPT, WORSE):
        found = coverage(arm, bases, seeds)
        assert 0.925 < found["refusal_rate_change"] < 0.985
        # About new things, too, and on the safe side.
        assert found["refusal_rate"] > 0.95


def test_changes_of_coins_are_covered_by_twelve_bases_and_not_by_four():
    assert 0.94 < coverage(COIN, 12, 2)["refusal_rate_change"] < 0.995
    # All four fall on one side in one study of eight: 7 / 8 at most.
    assert coverage(COIN, 4, 1)["refusal_rate_change"] < 0.91


def test_a_mean_cannot_see_a_break_that_did_not_happen_and_the_broken_share_can():
    found = coverage(RARE, 12, 1)
    assert found["refusal_rate_change"] < 0.65 and found["broken_share"] > 0.95


def test_one_base_has_an_interval_over_its_things():
    for arm in (KEPT, WORSE):
        assert 0.925 < coverage(arm, 1, 1)["refusal_rate"] < 0.985
