"""Estimators with lags on arrays of markets: equal to those on frames, honest about the truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from estimator_frames import as_market_frame

from lib.statistics.calibration import (
    CHUNK,
    Market,
    calibrate_lags,
    decays,
    lag_calibration_table,
    monthly,
    pooled,
    simulate_markets,
)
from lib.statistics.lags import decay_weights, fama_macbeth, lag_coefficients

SMALL = Market(months=30, stocks=18)


@pytest.fixture(scope="module")
def markets():
    return simulate_markets(SMALL, 3, seed=1)


def frames(markets):
    return [as_market_frame(y, x) for y, x in zip(*markets, strict=True)]


def test_pooled_and_monthly_slopes_equal_the_estimators(markets):
    for fast, slow in (
        (pooled(*markets), lambda f: lag_coefficients(f, cluster="month")),
        (monthly(*markets), fama_macbeth),
    ):
        for i, frame in enumerate(frames(markets)):
            found = slow(frame)
            assert fast.value[i] == pytest.approx([e.value for e in found], rel=1e-7)
            assert fast.se[i] == pytest.approx([e.se for e in found], rel=1e-7)


def test_decays_equal_the_estimator(markets):
    fast = decays(*markets)
    for i, frame in enumerate(frames(markets)):
        found = decay_weights(frame, cluster="month")
        assert fast.value[i] == pytest.approx([e.value for e in found], rel=1e-7)
        assert fast.se[i] == pytest.approx([e.se for e in found], rel=1e-5)


def test_markets_are_as_described():
    y, x = simulate_markets(replace(SMALL, noise_sd=0.0, level_sd=0.0, month_sd=0.0), 2, seed=2)
    weights = 0.6 ** np.arange(12)
    assert y == pytest.approx(0.5 * x @ weights / weights.sum())
    assert np.array_equal(x[:, 1:, :, 1], x[:, :-1, :, 0])  # last month's newest is one month old
    big = simulate_markets(Market(months=200, stocks=100), 1, seed=3)[1]
    assert big[..., 0].std() == pytest.approx(np.hypot(8, 4), rel=0.05)


def test_estimators_are_unbiased_and_cover():
    table = calibrate_lags(replace(SMALL, months=48), 300, seed=4).set_index("metric")
    assert (table["bias"].abs() < 4 * table["bias_se"] + 0.003).all()
    assert table["coverage"].between(0.89, 0.98).all()
    assert np.allclose(table["mean_se"], table["sd"], rtol=0.15)
    assert table.loc["decay_rate", "truth"] == 0.6
    assert table["power"].min() > 0.99


def test_a_forecaster_of_the_last_return_has_decay_zero_at_the_size():
    table = calibrate_lags(replace(SMALL, decay=0.0), 300, seed=5).set_index("metric")
    assert table.loc["decay_rate", "power"] == table.loc["decay_rate", "size"] < 0.11
    assert table.loc["fama_macbeth", "truth"] == 0.5


def test_chunks_and_seeds_make_one_table():
    markets = [SMALL, replace(SMALL, level=0.1)]
    table = lag_calibration_table(markets, CHUNK + 20, seed=6)
    assert len(table) == 8 and table["panels"].eq(CHUNK + 20).all()
    pd.testing.assert_frame_equal(table, lag_calibration_table(markets, CHUNK + 20, seed=6))
    assert table["bias"].nunique() == 8
