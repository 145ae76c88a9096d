"""The simulated cross-section: planted moments, conventions of the frames, the way back."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import InvalidValueError
from lib.forecasting import forecasters as zoo
from lib.forecasting import stocks as c
from lib.forecasting.frames import shown, to_units
from lib.forecasting.learners import full_information, least_squares


@pytest.fixture(scope="module")
def panel():
    return c.simulate_stocks(30, 100, seed=1)


def test_returns_are_market_plus_own_component():
    panel = c.simulate_stocks(300, 400, seed=2)
    common = panel.returns - panel.specific
    market = common[0] / panel.betas[0]
    assert np.allclose(common, panel.betas[:, None] * market)
    assert market.std() == pytest.approx(5.0, rel=0.1)
    assert market.mean() == pytest.approx(0.7, abs=4 * 5 / 20)
    assert np.corrcoef(market[1:], market[:-1])[0, 1] == pytest.approx(0, abs=0.2)
    assert panel.betas.mean() == pytest.approx(1, abs=4 * 0.3 / np.sqrt(300))
    assert panel.betas.std() == pytest.approx(0.3, rel=0.2)


@pytest.mark.parametrize("loadings", [(-0.1,), (-0.1, 0.0, 0.05)])
def test_own_components_have_the_planted_loadings_and_spreads(loadings):
    market = c.StockMarket(loadings)
    own = c.simulate_stocks(400, 500, market, seed=3).specific
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


@pytest.mark.parametrize("horizon", [1, 3])
def test_items_are_the_windows_of_the_panel(panel, horizon):
    frame = c.stock_items(panel, 12, horizon=horizon, warmup=40)
    assert len(frame) == 30 * (100 - 40 - horizon)
    assert (frame["month"] == frame["t"]).all() and frame["t"].min() == 40
    for i in (0, 77, len(frame) - 1):
        k, t = frame.loc[i, ["stock", "t"]]
        assert np.array_equal(frame["history"][i], panel.returns[k, t - 11 : t + 1])
        assert np.array_equal(frame["previous_history"][i], panel.returns[k, t - 12 : t])
        assert frame["outcome"][i] == frame["outcome_raw"][i] == panel.returns[k, t + horizon]
        assert frame["x"][i] == frame["x_raw"][i] == panel.returns[k, t]
        assert frame["mu"][i] == pytest.approx(0.7 * panel.betas[k])
    assert frame["series"].nunique() == 30
    assert frame.groupby("series")["stock"].nunique().eq(1).all()


def test_the_display_scale_is_a_fixed_affine_map_of_integers(panel):
    frame = c.stock_items(panel, display=True)
    numbers = shown(frame)
    assert numbers.min() >= 0 and numbers.max() <= 199
    assert frame["history"].map(lambda h: all(type(v) is int for v in h)).all()
    exact = (frame["x_raw"] + 80) / 0.8
    assert not frame["clipped"].any() and (exact - frame["x"]).abs().max() <= 0.5
    assert (frame[["location", "scale"]].drop_duplicates().to_numpy() == [[-80.0, 0.8]]).all()
    assert numbers.std() == pytest.approx(13, abs=3)  # among the spreads that the world shows


def test_forecasts_map_back_to_per_cent(panel):
    plain, shown_ = (c.stock_items(panel, display=d) for d in (False, True))
    filled = shown_.assign(forecast=shown_["outcome"], previous_forecast=shown_["mu"])
    back = to_units(filled)
    assert np.allclose(back["forecast"], plain["outcome"])
    assert np.allclose(back["previous_forecast"], plain["mu"])
    for column in ("x", "outcome"):
        assert np.array_equal(back[column], plain[column])


def test_returns_outside_the_display_scale_are_clipped_and_flagged(panel):
    returns = panel.returns.copy()
    returns[4, 70] = 150.0
    crash = c.StockPanel(panel.market, returns, panel.specific, panel.betas, 1)
    frame = c.stock_items(crash, display=True)
    touched = (frame["stock"] == 4) & frame["t"].between(70, 81)
    assert frame["clipped"].equals(touched.rename("clipped"))
    assert frame.loc[touched & (frame["t"] == 70), "x"].item() == 199
    assert not c.stock_items(crash)["clipped"].any()


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(60, 97), jump=st.floats(-300, 300), display=st.booleans())
def test_no_later_return_changes_what_is_shown(panel, cut, jump, display):
    returns = panel.returns.copy()
    returns[:, cut + 1 :] += jump
    changed = c.StockPanel(panel.market, returns, panel.specific, panel.betas, 1)
    one, two = (c.stock_items(p, display=display) for p in (panel, changed))
    known = one["t"] <= cut
    same = ["x", "x_raw", "history", "previous_history", "location", "scale", "mu", "clipped"]
    pd.testing.assert_frame_equal(one.loc[known, same], two.loc[known, same], check_exact=True)


def test_forecasters_of_what_is_shown_run_and_ar1_information_is_refused(panel):
    frame = c.stock_items(panel, display=True)
    assert least_squares(frame, data="shown")["forecast"].notna().all()
    assert zoo.extrapolative(frame)["forecast"].notna().all()
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
