"""Regressions against statsmodels; invariances; bad input."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lib.errors import InvalidValueError
from lib.forecasting.forecasters import HUMANS, add_noise, misperceived
from lib.forecasting.frames import ar1_items, panel_items
from lib.forecasting.learners import full_information
from lib.forecasting.processes import ar1
from lib.statistics.regressions import (
    by_condition,
    error_on_level,
    error_revision,
    implied_persistence,
    implied_persistence_hac,
    revision_variance,
)


@pytest.fixture(scope="module")
def frame():
    items = ar1_items([0.0, 0.6], series=25, rounds=8, history=12, sigma=8.0, seed=2)
    return add_noise(misperceived(items, HUMANS), 3.0, seed=1)


def pair(frame, estimator):
    """Left-hand side and regressor, written out a second time."""
    error = frame["outcome"] - frame["forecast"]
    sides = {
        implied_persistence: (frame["forecast"], frame["x"]),
        error_revision: (error, frame["forecast"] - frame["previous_forecast"]),
        error_on_level: (error, frame["x"]),
    }[estimator]
    return tuple(np.asarray(s, dtype=float) for s in sides)


ESTIMATORS = [implied_persistence, error_revision, error_on_level]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_it_is_the_regression_of_statsmodels_and_many_alike_series_have_its_usual_error(
    frame, estimator
):
    y, x = pair(frame, estimator)
    groups = pd.factorize(frame["series"])[0]
    fit = sm.OLS(y, sm.add_constant(x)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    found = estimator(frame)
    assert found.value == pytest.approx(fit.params[1], rel=1e-10)
    assert found.se == pytest.approx(fit.bse[1], rel=0.06)
    assert (found.n, found.clusters) == (400, 50) and 15 < found.df < 49
    half = stats.t.ppf(0.975, found.df) * found.se
    assert [found.low, found.high] == pytest.approx([found.value - half, found.value + half])
    assert found.pvalue() == pytest.approx(2 * stats.t.sf(abs(found.value) / found.se, found.df))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_only_the_contract_columns_are_needed_and_order_is_free(frame, estimator):
    bare = frame[["series", "t", "x", "outcome", "forecast", "previous_forecast"]]
    shuffled = bare.sample(frac=1, random_state=0).reset_index(drop=True)
    assert estimator(shuffled).se == pytest.approx(estimator(frame).se)
    assert estimator(shuffled).value == pytest.approx(estimator(frame).value)


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(0.01, 100), sign=st.sampled_from([-1, 1]), shift=st.floats(-1000, 1000))
def test_slopes_do_not_depend_on_units_sign_or_origin(scale, sign, shift):
    items = misperceived(ar1_items([0.4], 10, 5, 12, 8.0, seed=3), 0.8)
    items = add_noise(items, 2.0)
    columns = ["x", "outcome", "forecast", "previous_forecast"]
    moved = items.assign(**{c: shift + sign * scale * items[c] for c in columns})
    for estimator in ESTIMATORS:
        one, two = estimator(items), estimator(moved)
        assert [two.value, two.se] == pytest.approx([one.value, one.se], rel=1e-5, abs=1e-7)
    assert revision_variance(moved).value == pytest.approx(
        scale**2 * revision_variance(items).value, rel=1e-5
    )


def test_duplicating_every_series_shrinks_nothing_but_the_error(frame):
    twin = frame.assign(series=frame["series"] + "-twin")
    one, two = implied_persistence(frame), implied_persistence(pd.concat([frame, twin]))
    assert two.value == pytest.approx(one.value)
    assert two.se == pytest.approx(one.se / np.sqrt(2), rel=0.02)


def test_duplicating_rows_within_series_does_not_shrink_the_error(frame):
    one, two = implied_persistence(frame), implied_persistence(pd.concat([frame, frame]))
    assert two.se == pytest.approx(one.se, rel=0.01)


def test_revision_variance_is_the_sample_variance(frame):
    revision = frame["forecast"] - frame["previous_forecast"]
    found = revision_variance(frame)
    assert found.value == pytest.approx(revision.var(ddof=0))
    assert 0 < found.low < found.value < found.high


def test_conditions_are_estimated_apart(frame):
    table = by_condition(frame, implied_persistence)
    assert table["rho"].tolist() == [0.0, 0.6]
    alone = implied_persistence(frame[frame["rho"] == 0.6])
    assert table.loc[1, ["value", "se"]].tolist() == [alone.value, alone.se]
    assert table["clusters"].tolist() == [25, 25]


def test_a_coefficient_that_is_not_defined_is_a_gap_not_a_stop():
    items = full_information(ar1_items([0.0, 0.6], 10, 5, 12, 8.0, seed=3))
    table = by_condition(items, error_revision)
    assert np.isnan(table.loc[0, "value"]) and "no revision" in table.loc[0, "method"]
    assert table["name"].eq("error_revision").all() and np.isfinite(table.loc[1, "value"])
    with pytest.raises(InvalidValueError):
        by_condition(items.assign(forecast=np.nan), error_revision)


def newey_west(y, x, lags):
    design = np.column_stack([np.ones_like(x), x])
    bread = np.linalg.inv(design.T @ design)
    beta = bread @ design.T @ y
    u = design * (y - design @ beta)[:, None]
    meat = u.T @ u
    for k in range(1, lags + 1):
        gamma = u[k:].T @ u[:-k]
        meat += (1 - k / (lags + 1)) * (gamma + gamma.T)
    return beta[1], np.sqrt((bread @ meat @ bread)[1, 1])


def test_hac_errors_equal_newey_west_by_hand():
    items = panel_items(ar1(0.6, 1, 130, 8.0, 100.0, seed=5), 12, ["one"])
    items = add_noise(misperceived(items.assign(mu=100.0), 0.8), 2.0)
    n = len(items)
    lags = int(np.ceil(1.3 * np.sqrt(n)))
    expected = newey_west(*pair(items, implied_persistence), lags)
    for order in (items, items.sample(frac=1, random_state=1)):
        found = implied_persistence_hac(order)
        assert [found.value, found.se] == pytest.approx(expected, rel=1e-9)
    assert f"HAC({lags})" in found.method and found.df == n - 2


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.drop(columns="forecast"), "no column forecast"),
        (lambda f: f.assign(forecast=f["forecast"].where(f["t"] > 13)), "missing: 100 in forecast"),
        (lambda f: f.assign(series="one"), "two values of series"),
        (lambda f: f.assign(forecast=np.inf), "infinite"),
        (lambda f: f.iloc[:0], "empty"),
        (lambda f: f.assign(forecast="about 112"), "convert the column"),
        (lambda f: f.assign(forecast=100.0, previous_forecast=100.0), "revision_variance"),
    ],
)
def test_bad_frames_are_refused_with_a_way_out(frame, spoil, message):
    with pytest.raises(InvalidValueError, match=message):
        error_revision(spoil(frame))


def test_several_series_are_not_for_hac(frame):
    with pytest.raises(InvalidValueError, match="cluster by series"):
        implied_persistence_hac(frame)
