"""Before and after on the same items."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from estimator_frames import textbook_cr2

from lib.errors import InvalidValueError, UnknownNameError
from lib.forecasting.forecasters import add_noise, misperceived
from lib.forecasting.frames import ar1_items
from lib.forecasting.learners import bayes, full_information
from lib.statistics import comparison
from lib.statistics.comparison import share_removed
from lib.statistics.regressions import (
    error_on_level,
    error_revision,
    implied_persistence,
    implied_persistence_hac,
)

RHOS = [0.0, 0.2, 0.4, 0.6, 0.8]


def compare(before, after, estimator):
    """All items as one cell."""
    frames = [frame.assign(cell=0.0) for frame in (before, after)]
    (found,) = comparison.compare(*frames, estimator, "cell").values()
    return found


@pytest.fixture(scope="module")
def items():
    return ar1_items(RHOS, series=30, rounds=8, history=12, sigma=8.0, seed=4)


@pytest.fixture(scope="module")
def before(items):
    return add_noise(misperceived(items, {0.0: 0.5, 1.0: 1.0}), 2.0, seed=1)


@pytest.fixture(scope="module")
def after(items):
    return add_noise(misperceived(items, {0.0: 0.2, 1.0: 1.0}), 2.0, seed=2)


@pytest.mark.parametrize("estimator", [implied_persistence, error_revision, error_on_level])
def test_the_change_is_the_difference_of_the_two_estimates(before, after, estimator):
    change = compare(before, after, estimator)
    assert change.value == pytest.approx(estimator(after).value - estimator(before).value)
    assert change.name == f"{estimator.__name__}_change"
    assert change.clusters == 150 and 40 < change.df < 149


def test_the_error_is_near_the_usual_clustered_one_of_a_formula(before, after):
    stacked = pd.concat([before.assign(post=0), after.assign(post=1)], ignore_index=True)
    groups = pd.factorize(stacked["series"])[0]
    fit = smf.ols("forecast ~ x * post", stacked).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    change = compare(before, after, implied_persistence)
    assert change.value == pytest.approx(fit.params["x:post"], rel=1e-8)
    assert change.se == pytest.approx(fit.bse["x:post"], rel=0.02)


def sides(frame, estimator):
    """Left-hand side and regressor, from the formulas."""
    error = frame["outcome"] - frame["forecast"]
    found = {
        implied_persistence: (frame["forecast"], frame["x"]),
        error_revision: (error, frame["forecast"] - frame["previous_forecast"]),
        error_on_level: (error, frame["x"]),
    }[estimator]
    return [side.to_numpy(dtype=float) for side in found]


@pytest.mark.parametrize("estimator", [implied_persistence, error_revision, error_on_level])
def test_the_stacked_regression_equals_plain_numpy(before, after, estimator):
    y, x = np.hstack([sides(f, estimator) for f in (before, after)])
    post = np.repeat([0.0, 1.0], len(before))
    design = np.column_stack([np.ones_like(x), post, x, post * x])
    beta, se, df = textbook_cr2(y, design, np.tile(before["series"], 2))
    found = compare(before, after, estimator)
    expected = [beta[3], se[3], df[3]]
    assert [found.value, found.se, found.df] == pytest.approx(expected, rel=1e-7)


def test_shared_items_make_the_comparison_sharper(items):
    """A series-specific habit common to both models cancels."""
    rng = np.random.default_rng(0)
    names = items["series"].unique()
    habit = items["series"].map(dict(zip(names, rng.normal(0, 0.15, len(names)), strict=True)))
    base = misperceived(items, 0.7)
    one = base.assign(forecast=base["forecast"] + habit * (items["x"] - 100))
    two = one.assign(forecast=one["forecast"] - 0.2 * (items["x"] - 100))
    separate = np.hypot(implied_persistence(one).se, implied_persistence(two).se)
    change = compare(one, two, implied_persistence)
    assert change.value == pytest.approx(-0.2)
    assert change.se < 0.05 * separate


def test_row_order_does_not_matter(before, after):
    shuffled = after.sample(frac=1, random_state=3)
    assert compare(before, shuffled, error_revision) == compare(before, after, error_revision)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: f.iloc[1:],
        lambda f: f.assign(t=f["t"] + 1),
        lambda f: f.assign(outcome=f["outcome"] + 1),
        lambda f: pd.concat([f, f]),
    ],
)
def test_different_items_are_refused(before, after, spoil):
    with pytest.raises(InvalidValueError):
        compare(before, spoil(after), implied_persistence)


def test_estimators_without_a_stacked_form_are_refused(before, after):
    with pytest.raises(UnknownNameError, match="error_revision"):
        compare(before, after, implied_persistence_hac)


def excess(frame, rational, rows):
    return implied_persistence(frame[rows]).value - implied_persistence(rational[rows]).value


def test_share_removed_is_the_ratio_of_mean_excesses(items, before, after):
    rational = full_information(items)
    rows = [items["rho"] == rho for rho in RHOS]
    first = sum(excess(before, rational, r) for r in rows)
    second = sum(excess(after, rational, r) for r in rows)
    found = share_removed(before, after, rational, by="rho", draws=500)
    assert found.value == pytest.approx(1 - second / first)
    assert found.value == pytest.approx(0.6, abs=0.05)
    assert found.low < found.value < found.high


def test_share_removed_in_one_cell(items, before, after):
    rows = before["rho"] == 0.2
    rational = full_information(items[rows])
    found = share_removed(before[rows], after[rows], rational, by="rho", draws=500)
    b, a = implied_persistence(before[rows]).value, implied_persistence(after[rows]).value
    assert found.value == pytest.approx(1 - (a - 0.2) / (b - 0.2))


def test_bootstrap_error_agrees_with_the_delta_method(before, after):
    """One cell, known target: d share = (dB (1 - share) - dA) / excess."""
    rows = before["rho"] == 0.0
    flat = before[rows].assign(forecast=100.0)
    found = share_removed(before[rows], after[rows], flat, by="rho", draws=4000)
    b = implied_persistence(before[rows])
    scores = []
    for f in (before[rows], after[rows]):
        x = f["x"] - f["x"].mean()
        u = f["forecast"] - f["forecast"].mean() - implied_persistence(f).value * x
        scores.append((x * u).groupby(f["series"]).sum() / (x**2).sum())
    influence = (scores[0] * (1 - found.value) - scores[1]) / b.value
    assert found.se == pytest.approx(np.sqrt((influence**2).sum()), rel=0.1)


def test_bootstrap_draws_whole_series_with_an_explicit_seed(items, before, after):
    one, two, three = (share_removed(before, after, bayes(items), "rho", draws=300, seed=s)
                       for s in (1, 1, 2))
    assert one == two and one.low != three.low and one.value == three.value


def test_a_perfect_cure_scores_one_and_overcorrection_more(items, before):
    rational = bayes(items)
    assert share_removed(before, rational, rational, by="rho").value == pytest.approx(1.0)
    flat = misperceived(items, 0.0)
    assert share_removed(before, flat, rational, by="rho", draws=200).low > 1


def test_no_share_of_nothing(items, after):
    with pytest.raises(InvalidValueError, match="compare"):
        share_removed(misperceived(items, 0.0), after, full_information(items), by="rho")


def test_each_cell_is_compared_as_if_it_were_alone(before, after):
    found = comparison.compare(before, after.sample(frac=1, random_state=1), implied_persistence,
                               "rho")
    assert list(found) == RHOS
    for rho in (0.2, 0.8):
        alone = [frame[frame["rho"] == rho] for frame in (before, after)]
        assert vars(found[rho]) == pytest.approx(vars(compare(*alone, implied_persistence)))
