"""Lag profiles and monthly cross-sections with planted loadings."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from estimator_frames import ar1_frame, market_frame, textbook_cr2
from scipy.signal import lfilter

from lib.errors import InvalidValueError
from lib.forecasting.forecasters import adaptive, add_noise, extrapolative, misperceived
from lib.forecasting.frames import ar1_items
from lib.statistics.calibration import Market, monthly, simulate_markets
from lib.statistics.lags import fama_macbeth, lag_coefficients, monthly_slopes


@pytest.fixture(scope="module")
def items():
    return ar1_frame(0.5, series=60, rounds=6, history=14, seed=1)


@pytest.fixture(scope="module")
def market():
    return market_frame(seed=1, months=60, stocks=25)


def by_hand(frame, lags, cluster):
    """Slopes and errors of the lags in plain numpy, from the histories."""
    history = np.array([list(h) for h in frame["history"]], dtype=float)
    newest_first = [history[:, -k] for k in range(1, lags + 1)]
    design = np.column_stack([np.ones(len(frame)), *newest_first])
    return textbook_cr2(frame["forecast"].to_numpy(), design, frame[cluster].astype(str).to_numpy())


@pytest.mark.parametrize("lags", [1, 4, 12])
def test_slopes_and_errors_by_series_equal_plain_numpy(lags):
    items = ar1_items([0.2, 0.8], series=20, rounds=6, history=14, sigma=8.0, seed=5)
    frame = add_noise(misperceived(items, 0.7), 3.0, seed=6)
    beta, se, df = by_hand(frame, lags, "series")
    found = lag_coefficients(frame, lags)
    assert [e.name for e in found] == [f"lag_{k}" for k in range(1, lags + 1)]
    assert [e.value for e in found] == pytest.approx(beta[1:], rel=1e-7)
    assert [e.se for e in found] == pytest.approx(se[1:], rel=1e-7)
    assert [e.df for e in found] == pytest.approx(df[1:], rel=1e-6)


def test_slopes_and_errors_by_month_equal_plain_numpy(market):
    beta, se, _ = by_hand(market, 12, "month")
    found = lag_coefficients(market, 12, cluster="month")
    assert [e.value for e in found] == pytest.approx(beta[1:], rel=1e-8)
    assert [e.se for e in found] == pytest.approx(se[1:], rel=1e-8)
    assert {e.clusters for e in found} == {60} and all(30 < e.df < 59 for e in found)


def test_lag_profiles_of_exact_forecasters_are_exact(items):
    profile = [e.value for e in lag_coefficients(misperceived(items, 0.7), 6)]
    assert profile == pytest.approx([0.7, 0, 0, 0, 0, 0], abs=1e-10)
    profile = [e.value for e in lag_coefficients(extrapolative(items, 0.4), 4)]
    assert profile == pytest.approx([1.4, -0.4, 0, 0], abs=1e-10)
    profile = [e.value for e in lag_coefficients(adaptive(items, 0.5), 14)]
    assert profile[:13] == pytest.approx(0.5 ** np.arange(1, 14), abs=1e-9)


def test_profiles_with_noise_cover_the_truth(items):
    clean, covered = adaptive(items, 0.5), []
    for seed in range(25):
        found = lag_coefficients(add_noise(clean, 4.0, seed=seed), 12)
        covered += [e.covers(0.5**k) for k, e in enumerate(found, start=1)]
    assert 0.90 < np.mean(covered) < 0.98
    assert {(e.n, e.clusters) for e in found} == {(360, 60)}


@pytest.mark.parametrize(
    ("lags", "spoil", "message"),
    [
        (15, lambda f: f, "lower `lags`"),
        (0, lambda f: f, "1 or more"),
        (3, lambda f: f.drop(columns="history"), "no column history"),
        (3, lambda f: f.assign(history=[[np.nan] * 14] * len(f)), "finite numbers in history"),
        (3, lambda f: f.assign(history=[[1.0] * 14] * len(f)), "directions"),
        (3, lambda f: f.assign(series="one"), "two values of series"),
    ],
)
def test_bad_frames_are_refused(items, lags, spoil, message):
    with pytest.raises(InvalidValueError, match=message):
        lag_coefficients(spoil(misperceived(items, 0.7)), lags)


@pytest.mark.parametrize("target", ["forecast", "outcome"])
def test_fama_macbeth_equals_plain_numpy(market, target):
    slopes = []
    for _, month in market.sample(frac=1, random_state=2).groupby("month"):
        history = np.array(month["history"].tolist())[:, ::-1]
        design = np.column_stack([np.ones(len(history)), history])
        slopes.append(np.linalg.solve(design.T @ design, design.T @ month[target].to_numpy())[1:])
    slopes = np.array(slopes)
    months, mean = len(slopes), slopes.mean(axis=0)
    u = slopes - mean
    s = u.T @ u / months  # linearmodels' kernel covariance of a mean, without debiasing
    for k in range(1, 4):
        gamma = u[k:].T @ u[:-k] / months
        s += (1 - k / 4) * (gamma + gamma.T)
    found = fama_macbeth(market, target=target)
    assert [e.value for e in found] == pytest.approx(mean, rel=1e-9)
    assert [e.se for e in found] == pytest.approx(np.sqrt(np.diag(s) / months), rel=1e-9)


def test_planted_loadings_are_covered(market):
    planted = 0.5 * Market().weights
    found = fama_macbeth(market)
    assert sum(not e.covers(b) for e, b in zip(found, planted, strict=True)) <= 2
    assert {(e.n, e.clusters, e.df) for e in found} == {(1500, 60, 59)}
    assert "60 months, HAC(3), t(59)" in found[0].method


def test_realised_returns_reverse_where_forecasts_extrapolate(market):
    forecast, outcome = (fama_macbeth(market, target=t)[0] for t in ("forecast", "outcome"))
    assert forecast.low > 0 > outcome.high
    assert outcome.covers(-0.1)


def test_slopes_are_linear_in_the_target(market):
    after = market["forecast"] * 0.3 - market["outcome"]
    change = fama_macbeth(market.assign(forecast=after - market["forecast"]))
    one, two = fama_macbeth(market.assign(forecast=after)), fama_macbeth(market)
    for c, a, b in zip(change, one, two, strict=True):
        assert c.value == pytest.approx(a.value - b.value)


def test_what_all_stocks_of_a_month_share_does_not_matter(market):
    shift = market["month"].map(lambda m: 10.0 * m.month)
    moved = fama_macbeth(market.assign(forecast=market["forecast"] + shift))
    for a, b in zip(moved, fama_macbeth(market), strict=True):
        assert [a.value, a.se] == pytest.approx([b.value, b.se])
    pooled = lag_coefficients(market.assign(forecast=market["forecast"] + shift), cluster="month")
    assert pooled[0].value != pytest.approx(lag_coefficients(market, cluster="month")[0].value)


def test_months_are_put_in_order_and_may_be_unequal(market):
    shuffled = market.sample(frac=1, random_state=1)
    assert [e.se for e in fama_macbeth(shuffled)] == pytest.approx(
        [e.se for e in fama_macbeth(market)]
    )
    fewer = market.iloc[5:]
    slopes = monthly_slopes(fewer, 12, "forecast")
    assert len(slopes) == 60 and slopes.index.is_monotonic_increasing
    assert slopes.iloc[1:].equals(monthly_slopes(market, 12, "forecast").iloc[1:])


def test_the_lag_rule_is_newey_and_west_s(market):
    for months, lags in ((20, 2), (60, 3)):
        part = market[market["month"] < market["month"].min() + months]
        assert f"HAC({lags})" in fama_macbeth(part, lags=3)[0].method


def rejections(slopes, lags):
    """Share of rows, time running along them, whose mean is rejected to be 0 by t(T - 1)."""
    months = slopes.shape[1]
    u = slopes - slopes.mean(axis=1, keepdims=True)
    variance = (u**2).sum(axis=1)
    for k in range(1, lags + 1):
        variance += 2 * (1 - k / (lags + 1)) * (u[:, k:] * u[:, :-k]).sum(axis=1)
    return (np.abs(slopes.mean(axis=1)) > 2.0 * np.sqrt(variance) / months).mean()


def test_size_of_the_default_rule_with_and_without_serial_correlation():
    """Honest for monthly slopes that are nearly independent, too small for persistent ones."""
    noise = np.random.default_rng(0).normal(size=(4000, 120))
    assert rejections(noise, 4) < 0.075
    persistent = lfilter([1.0], [1.0, -0.3], noise, axis=1)
    assert rejections(persistent, 0) > 0.13
    assert rejections(persistent, 4) < 0.10


def test_coverage_over_simulated_markets():
    design = replace(Market(), months=60)
    forecast, shown = simulate_markets(design, 200, seed=2)
    value, se, _ = monthly(forecast, shown)
    planted = 0.5 * Market().weights
    covered = np.abs(value - planted) <= 2.0 * se
    assert 0.90 < covered.mean() < 0.97


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: pd.concat([f, f]), "duplicates"),
        (lambda f: f[f["stock"] < "k010"], "smallest of 10 stocks"),
        (lambda f: f[f["month"] == f["month"].min()], "two months"),
        (lambda f: f.drop(columns="stock"), "no column stock"),
        (lambda f: f.assign(history=[[1.0] * 12] * len(f)), "collinear ones in month 2010-01"),
        (lambda f: f.assign(forecast=np.nan), "missing: 1500 in forecast"),
    ],
)
def test_bad_months_are_refused(market, spoil, message):
    with pytest.raises(InvalidValueError, match=message):
        fama_macbeth(spoil(market))
