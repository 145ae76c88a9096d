"""Benchmarks of the cross-section against statsmodels month by month, the truth, and the future."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import InvalidValueError
from lib.forecasting import stocks as b
from lib.forecasting.frames import to_units
from lib.forecasting.stocks import StockMarket, StockPanel, simulate_stocks, stock_items

FORECASTS = ["forecast", "previous_forecast"]
METHODS = ["fama_macbeth", "pooled"]


@pytest.fixture(scope="module")
def panel():
    return simulate_stocks(25, 80, seed=1)


def monthly_fits(returns, t, h, lags):
    """OLS over stocks with a constant in every month complete by t: statsmodels results."""
    months = range(lags - 1, t - h + 1)
    return [
        sm.OLS(
            returns[:, s + h],
            sm.add_constant(np.stack([returns[:, s - k] for k in range(lags)], axis=1)),
        ).fit()
        for s in months
    ]


@pytest.mark.parametrize("lags", [1, 3])
@pytest.mark.parametrize("h", [1, 2])
def test_fama_macbeth_is_the_mean_of_monthly_regressions(panel, h, lags):
    path, t = b.regression_path(panel.returns, h, lags), 50
    slopes = np.mean([fit.params[1:] for fit in monthly_fits(panel.returns, t, h, lags)], axis=0)
    means = panel.returns.mean(axis=0)
    states = np.stack([panel.returns[:, t - k] - means[t - k] for k in range(lags)], axis=1)
    assert np.allclose(path[:, t], means[: t + 1].mean() + states @ slopes, atol=1e-8)
    assert np.isnan(path[:, : lags - 1 + h]).all() and not np.isnan(path[:, lags - 1 + h :]).any()


@pytest.mark.parametrize("h", [1, 2])
def test_pooled_regression_equals_ols_with_month_constants(panel, h):
    returns, t = panel.returns, 40
    rows = [(i, s) for s in range(t - h + 1) for i in range(len(returns))]
    table = pd.DataFrame(
        {"y": [returns[i, s + h] for i, s in rows], "x": [returns[i, s] for i, s in rows],
         "month": [s for _, s in rows]}
    )  # fmt: skip
    dummies = pd.get_dummies(table["month"], dtype=float)
    slope = sm.OLS(table["y"], pd.concat([table["x"], dummies], axis=1)).fit().params["x"]
    expected = returns[:, : t + 1].mean() + slope * (returns[:, t] - returns[:, t].mean())
    assert np.allclose(b.regression_path(returns, h, method="pooled")[:, t], expected, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_the_planted_reversal_is_recovered(method):
    """Equal betas: the cross-section then shows the own components without the market."""
    market = StockMarket((-0.1, 0.0, 0.05), beta_sd=0.0)
    panel = simulate_stocks(300, 200, market, seed=2)
    frame = stock_items(panel, warmup=198)
    fits = monthly_fits(panel.returns, 198, 1, 3)
    spread = np.std([fit.params[1] for fit in fits]) / np.sqrt(len(fits))
    filled = b.past_regression(frame, panel.returns, lags=3, method=method)
    own = np.stack([panel.returns[:, 198 - k] - panel.returns[:, 198 - k].mean()
                    for k in range(3)], axis=1)
    slopes = sm.OLS(filled["forecast"], sm.add_constant(own)).fit().params[1:]
    assert np.allclose(slopes, market.loadings, atol=4 * spread)
    assert slopes.iloc[0] < -10 * spread


@pytest.mark.parametrize("loadings", [(-0.2,), (-0.2, 0.1, 0.1)])
@pytest.mark.parametrize("h", [1, 2, 4])
def test_full_information_is_the_iterated_recursion(loadings, h):
    panel = simulate_stocks(4, 30, StockMarket(loadings), seed=3)
    path, t = b.known_path(panel, h), 20
    own = list(panel.specific[2, : t + 1])
    for _ in range(h):
        own.append(sum(k * own[-1 - j] for j, k in enumerate(loadings)))
    assert path[2, t] == pytest.approx(panel.betas[2] * 0.7 + own[-1], abs=1e-10)


def test_full_information_errors_are_unforecastable_and_knowing_more_never_hurts():
    panel = simulate_stocks(500, 260, StockMarket((-0.3,)), seed=4)
    frame = stock_items(panel, warmup=100, display=True)
    known = b.known_components(frame, panel)
    learned = b.past_regression(frame, panel.returns)
    # Less the realised market, whose surprises all stocks of a month share.
    surprise = panel.returns[frame["stock"], frame["t"] + 1] - known_units(known)
    surprise = surprise - surprise.groupby(frame["t"]).transform("mean")
    own = panel.specific[frame["stock"], frame["t"]]
    slope = sm.OLS(surprise, sm.add_constant(own)).fit(
        cov_type="cluster", cov_kwds={"groups": frame["t"]}
    )
    assert abs(slope.tvalues.iloc[1]) < 4

    def own_mse(filled):
        error = frame["outcome"] - filled["forecast"]
        return (error - error.groupby(frame["t"]).transform("mean")).var()

    naive = frame.assign(forecast=frame["x"])
    assert own_mse(known) < own_mse(learned) < own_mse(frame.assign(forecast=100.0))
    assert own_mse(frame.assign(forecast=100.0)) < own_mse(naive)


def known_units(filled):
    return to_units(filled)["forecast"]


@pytest.mark.parametrize("method", METHODS)
def test_display_does_not_change_a_benchmark(panel, method):
    for rule in (
        partial(b.past_regression, returns=panel.returns, method=method, lags=2),
        partial(b.known_components, panel=panel),
    ):
        plain, shown = (rule(stock_items(panel, display=d)) for d in (False, True))
        assert np.allclose(to_units(shown)[FORECASTS], plain[FORECASTS])


def test_the_forecast_of_a_round_before_is_of_the_same_outcome(panel):
    frame = b.past_regression(stock_items(panel, horizon=2), panel.returns)
    path = b.regression_path(panel.returns, 3)
    assert np.allclose(frame["previous_forecast"], path[frame["stock"], frame["t"] - 1])


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15, deadline=None)
@given(
    cut=st.integers(20, 76), ahead=st.integers(1, 60), stock=st.integers(0, 24),
    jump=st.floats(-200, 200), lags=st.integers(1, 4), horizon=st.integers(1, 3),
)  # fmt: skip
def test_no_future_return_can_change_a_past_target(
    panel, method, cut, ahead, stock, jump, lags, horizon
):
    """One return of one stock in one later month is changed; then all that follow."""
    one, all_later = panel.returns.copy(), panel.returns.copy()
    one[stock, min(cut + ahead, 79)] += jump
    all_later[:, cut + 1 :] = jump
    frame = stock_items(panel, horizon=horizon, warmup=20)
    frame = frame[frame["t"] <= cut]
    rule = partial(b.past_regression, frame, lags=lags, method=method)
    before = rule(panel.returns)
    for changed in (one, all_later[:, : cut + 2]):
        after = rule(changed)
        pd.testing.assert_frame_equal(before[FORECASTS], after[FORECASTS], check_exact=True)


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(20, 76), jump=st.floats(-200, 200))
def test_no_future_component_can_change_full_information(panel, cut, jump):
    specific = panel.specific.copy()
    specific[:, cut + 1 :] += jump
    changed = StockPanel(panel.market, panel.returns, specific, panel.betas, 1)
    frame = stock_items(panel, warmup=20)
    frame = frame[frame["t"] <= cut]
    before, after = (b.known_components(frame, p) for p in (panel, changed))
    pd.testing.assert_frame_equal(before[FORECASTS], after[FORECASTS], check_exact=True)


def test_what_cannot_be_estimated_is_refused(panel):
    with pytest.raises(InvalidValueError, match="raise `warmup`"):
        b.past_regression(stock_items(panel, 2, warmup=3), panel.returns, lags=4)
    with pytest.raises(InvalidValueError, match="more stocks"):
        b.regression_path(panel.returns[:5], 1, lags=4)
