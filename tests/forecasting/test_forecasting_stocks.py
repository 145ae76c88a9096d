"""The cross-section: planted moments, the way back to per cent, regressions, no look-ahead."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import InvalidValueError
from lib.forecasting import forecasters as habits
from lib.forecasting import stocks as c
from lib.forecasting.frames import shown, to_units
from lib.forecasting.learners import full_information, least_squares

FORECASTS = ["forecast", "previous_forecast"]
CALM = {"market_mean": 0.0, "market_sd": 0.0}
"""Without a market, returns are the stocks' own components."""


@pytest.fixture(scope="module")
def panel():
    return c.simulate_stocks(30, 100, seed=1)


def test_returns_are_a_market_by_betas_where_stocks_have_nothing_of_their_own():
    panel = c.simulate_stocks(300, 400, c.StockMarket(specific_sd=0.0), seed=2)
    betas = panel.means / 0.7
    market = panel.returns[0] / betas[0]
    assert np.allclose(panel.returns, betas[:, None] * market)
    assert market.std() == pytest.approx(5.0, rel=0.1)
    assert market.mean() == pytest.approx(0.7, abs=4 * 5 / 20)
    assert np.corrcoef(market[1:], market[:-1])[0, 1] == pytest.approx(0, abs=0.2)
    assert betas.mean() == pytest.approx(1, abs=4 * 0.3 / np.sqrt(300))
    assert betas.std() == pytest.approx(0.3, rel=0.2)


@pytest.mark.parametrize("loadings", [(-0.1,), (-0.1, 0.0, 0.05)])
def test_own_components_have_the_planted_loadings_and_spreads(loadings):
    market = c.StockMarket(loadings, **CALM)
    own = c.simulate_stocks(400, 500, market, seed=3).returns
    p = len(loadings)
    lags = np.stack([own[:, p - k : -k].ravel() for k in range(1, p + 1)], axis=1)
    slopes = np.linalg.lstsq(lags, own[:, p:].ravel(), rcond=None)[0]
    assert np.allclose(slopes, loadings, atol=4 / np.sqrt(own.size))
    sds = own.std(axis=1)
    assert np.median(sds) == pytest.approx(9.0, rel=0.06)
    assert np.log(sds).std() == pytest.approx(0.25, rel=0.15)
    assert own[:, 0].std() == pytest.approx(own[:, -1].std(), rel=0.2)  # stationary from the start


def test_seeds_are_explicit(panel):
    again, other = (c.simulate_stocks(30, 100, seed=s) for s in (1, 2))
    assert np.array_equal(panel.returns, again.returns)
    assert not np.isin(panel.returns, other.returns).any()
    assert not set(c.stock_items(panel)["series"]) & set(c.stock_items(other)["series"])


def test_items_are_the_windows_of_the_panel(panel):
    frame = c.stock_items(panel, 12, warmup=40)
    assert len(frame) == 30 * (100 - 40 - 1)
    display = (panel.returns + 80) / 0.8
    assert (frame["month"] == frame["t"]).all() and frame["t"].min() == 40
    for i in (0, 77, len(frame) - 1):
        k, t = frame.loc[i, ["stock", "t"]]
        assert np.array_equal(frame["history"][i], np.rint(display[k, t - 11 : t + 1]))
        assert np.array_equal(frame["previous_history"][i], np.rint(display[k, t - 12 : t]))
        assert frame["outcome"][i] == pytest.approx(display[k, t + 1])
        assert frame["outcome_raw"][i] == panel.returns[k, t + 1]
        assert frame["x_raw"][i] == panel.returns[k, t]
        assert frame["mu"][i] == pytest.approx((panel.means[k] + 80) / 0.8)
    assert frame["series"].nunique() == 30
    assert frame.groupby("series")["stock"].nunique().eq(1).all()


def test_the_display_scale_is_a_fixed_affine_map_of_integers(panel):
    frame = c.stock_items(panel)
    numbers = shown(frame)
    assert numbers.min() >= 0 and numbers.max() <= 199
    assert frame["history"].map(lambda h: all(type(v) is int for v in h)).all()
    exact = (frame["x_raw"] + 80) / 0.8
    assert not frame["clipped"].any() and (exact - frame["x"]).abs().max() <= 0.5
    assert (frame[["location", "scale"]].drop_duplicates().to_numpy() == [[-80.0, 0.8]]).all()
    assert numbers.std() == pytest.approx(13, abs=3)  # among the spreads that the world shows


def test_forecasts_map_back_to_per_cent(panel):
    frame = c.stock_items(panel)
    back = to_units(frame.assign(forecast=frame["outcome"], previous_forecast=frame["mu"]))
    stock, t = frame["stock"], frame["t"]
    assert np.allclose(back["forecast"], panel.returns[stock, t + 1])
    assert np.allclose(back["previous_forecast"], panel.means[stock])
    assert np.array_equal(back["x"], panel.returns[stock, t])
    assert np.array_equal(back["outcome"], panel.returns[stock, t + 1])


def test_returns_outside_the_display_scale_are_clipped_and_flagged(panel):
    returns = panel.returns.copy()
    returns[4, 70] = 150.0
    frame = c.stock_items(c.StockPanel(returns, panel.means, 1))
    touched = (frame["stock"] == 4) & frame["t"].between(70, 81)
    assert frame["clipped"].equals(touched.rename("clipped"))
    assert frame.loc[touched & (frame["t"] == 70), "x"].item() == 199


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(60, 97), jump=st.floats(-300, 300))
def test_no_later_return_changes_what_is_shown(panel, cut, jump):
    returns = panel.returns.copy()
    returns[:, cut + 1 :] += jump
    changed = c.StockPanel(returns, panel.means, 1)
    one, two = (c.stock_items(p) for p in (panel, changed))
    known = one["t"] <= cut
    same = ["x", "x_raw", "history", "previous_history", "location", "scale", "mu", "clipped"]
    pd.testing.assert_frame_equal(one.loc[known, same], two.loc[known, same], check_exact=True)


def test_forecasters_of_what_is_shown_run_and_ar1_information_is_refused(panel):
    frame = c.stock_items(panel)
    assert least_squares(frame, data="shown")["forecast"].notna().all()
    assert habits.extrapolative(frame)["forecast"].notna().all()
    with pytest.raises(InvalidValueError, match="known rho"):
        full_information(frame)


@pytest.mark.parametrize(
    "call",
    [
        lambda: c.simulate_stocks(1, 50, seed=1),
        lambda: c.simulate_stocks(5, 0, seed=1),
        lambda: c.simulate_stocks(5, 50, c.StockMarket((1.0,)), seed=1),
        lambda: c.simulate_stocks(5, 50, c.StockMarket((0.8, 0.3)), seed=1),
    ],
)
def test_impossible_panels_are_refused(call):
    with pytest.raises(InvalidValueError, match="stationary loadings"):
        call()


# The benchmark.


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
    path, t = c.regression_path(panel.returns, h, lags), 50
    slopes = np.mean([fit.params[1:] for fit in monthly_fits(panel.returns, t, h, lags)], axis=0)
    means = panel.returns.mean(axis=0)
    states = np.stack([panel.returns[:, t - k] - means[t - k] for k in range(lags)], axis=1)
    assert np.allclose(path[:, t], means[: t + 1].mean() + states @ slopes)
    assert np.isnan(path[:, : lags - 1 + h]).all() and not np.isnan(path[:, lags - 1 + h :]).any()


def test_the_planted_reversal_is_recovered():
    """Equal betas: the cross-section then shows the own components without the market."""
    market = c.StockMarket((-0.1, 0.0, 0.05), beta_sd=0.0)
    panel = c.simulate_stocks(300, 200, market, seed=2)
    frame = c.stock_items(panel, warmup=198)
    fits = monthly_fits(panel.returns, 198, 1, 3)
    spread = np.std([fit.params[1] for fit in fits]) / np.sqrt(len(fits))
    filled = c.past_regression(frame, panel.returns, lags=3)
    said = to_units(filled)["forecast"]
    own = np.stack([panel.returns[:, 198 - k] - panel.returns[:, 198 - k].mean()
                    for k in range(3)], axis=1)
    slopes = sm.OLS(said, sm.add_constant(own)).fit().params[1:]
    assert np.allclose(slopes, market.loadings, atol=4 * spread)
    assert slopes.iloc[0] < -10 * spread


def test_the_forecast_of_a_round_before_is_of_the_same_outcome(panel):
    frame = to_units(c.past_regression(c.stock_items(panel), panel.returns, lags=2))
    path = c.regression_path(panel.returns, 2, lags=2)
    assert np.allclose(frame["previous_forecast"], path[frame["stock"], frame["t"] - 1])


@settings(max_examples=15, deadline=None)
@given(
    cut=st.integers(20, 76), ahead=st.integers(1, 60), stock=st.integers(0, 29),
    jump=st.floats(-200, 200), lags=st.integers(1, 4),
)
def test_no_future_return_can_change_a_past_target(
    panel, cut, ahead, stock, jump, lags
):
    """One return of one stock in one later month is changed; then all that follow."""
    one, all_later = panel.returns.copy(), panel.returns.copy()
    one[stock, min(cut + ahead, 99)] += jump
    all_later[:, cut + 1 :] = jump
    frame = c.stock_items(panel, warmup=20)
    frame = frame[frame["t"] <= cut]
    before = c.past_regression(frame, panel.returns, lags)
    for changed in (one, all_later[:, : cut + 2]):
        after = c.past_regression(frame, changed, lags)
        pd.testing.assert_frame_equal(before[FORECASTS], after[FORECASTS], check_exact=True)


def test_what_cannot_be_estimated_is_refused(panel):
    with pytest.raises(InvalidValueError, match="raise `warmup`"):
        c.past_regression(c.stock_items(panel, 2, warmup=3), panel.returns, lags=4)
    with pytest.raises(InvalidValueError, match="more stocks"):
        c.regression_path(panel.returns[:5], 1, lags=4)
