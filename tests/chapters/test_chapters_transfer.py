"""The transfer table: closed forms on planted forecasters, rows on a tiny model."""

import numpy as np
import pandas as pd
import pytest
import world_models

from lib.chapters import transfer as generalisation
from lib.chapters.transfer import (
    equivariance_rows,
    mean_slope,
    mse_ratio,
    stock_rows,
    transfer_rows,
)
from lib.forecasting.forecasters import add_noise, misperceived
from lib.forecasting.frames import ar1_items
from lib.forecasting.learners import full_information

COLUMNS = ["arm", "condition", "metric", "value", "low", "high", "n", "seeds"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def items():
    frame = ar1_items([0.2, 0.8], series=60, rounds=4, history=12, sigma=8.0, seed=3)
    return frame.assign(cell=frame["rho"])


@pytest.fixture(scope="module")
def arms():
    return {"base": [world_models.tiny_base()], "lora": [world_models.tiny_base()]}


def test_mean_slope_is_the_mean_of_planted_slopes(items):
    found = mean_slope(misperceived(items, {0.0: 0.1, 1.0: 1.1}))
    assert found.value == pytest.approx(0.6, abs=1e-6)
    assert found.se == pytest.approx(0.0, abs=1e-6)


def test_mse_ratio_of_a_frame_with_itself_is_one(items):
    frame = full_information(items)
    found = mse_ratio(frame, frame)
    assert found.value == 1.0 and found.se == pytest.approx(0.0, abs=1e-9)


def test_mse_ratio_sees_independent_noise(items):
    frame = full_information(items)
    noise = 6.0
    found = mse_ratio(add_noise(frame, noise, seed=1), frame)
    floor = float(((frame["outcome"] - frame["forecast"]) ** 2).mean())
    assert abs(found.value - (1 + noise**2 / floor)) < 3 * found.se
    assert found.low < found.value < found.high


def test_mse_ratio_has_the_jackknifes_error(items):
    frame = full_information(items)
    noisy = add_noise(frame, 5.0, seed=2)
    names = frame["series"].unique()
    left = np.array([mse_ratio(noisy[noisy["series"] != s], frame[frame["series"] != s]).value
                     for s in names])
    n = len(names)
    jackknife = np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum())
    assert mse_ratio(noisy, frame).se == pytest.approx(jackknife, rel=0.1)


def test_every_set_has_each_arm_and_both_rational_rows(study, arms):
    found = transfer_rows(study, arms, ["trained", "horizon_2", "arch"])
    assert list(found.columns) == COLUMNS
    for name, rows in found.groupby("condition"):
        slopes = rows[rows["metric"] == "implied_persistence"]
        assert sorted(slopes["arm"]) == ["base", "bayes", "full_information", "lora"], name
    ratio = found[(found["metric"] == "mse_ratio") & (found["arm"] == "bayes")]
    assert (ratio["value"] == 1.0).all()


def test_the_base_removes_nothing_of_its_own_excess(study, arms):
    found = transfer_rows(study, arms, ["trained"])
    share = found.loc[found["metric"] == "share_removed", "value"]
    assert len(share) == 1 and (share.isna() | np.isclose(share, 0)).all()


def test_an_equivariant_forecaster_has_no_gap(study, arms, monkeypatch):
    monkeypatch.setattr(generalisation, "forecasts", lambda study, folder, items: items.assign(
        forecast=100 + 0.5 * (items["x"] - 100)))
    found = equivariance_rows(study, arms)
    assert set(found["condition"]) == {"sign_flipped", "scaled"}
    assert found["value"].to_numpy() == pytest.approx(0.0, abs=1e-12)


def test_a_pull_towards_a_number_is_no_equivariance(study, arms, monkeypatch):
    monkeypatch.setattr(generalisation, "forecasts", lambda study, folder, items: items.assign(
        forecast=120 + 0.5 * (items["x"] - 100)))
    found = equivariance_rows(study, arms).set_index("condition")["value"]
    assert (found > 0.5).all()


def answered_by(forecaster):
    """Stands in for `forecasts_of`."""
    return lambda study, arms, items: {
        arm: [forecaster(study, folder, items) for folder in folders]
        for arm, folders in arms.items()}


def test_stock_rows_read_the_planted_weights(study, arms, monkeypatch):
    def planted(study, folder, items):
        history = np.stack(items["history"])
        return items.assign(forecast=100 + 0.4 * history[:, -1] - 0.1 * history[:, -2])

    monkeypatch.setattr(generalisation, "forecasts_of", answered_by(planted))
    found = stock_rows(study, arms)
    base = found[found["arm"] == "base"].set_index("condition")["value"].astype(float)
    assert base.loc[1] == pytest.approx(0.4) and base.loc[2] == pytest.approx(-0.1)
    assert base.loc[3:].to_numpy() == pytest.approx(0.0, abs=1e-9)


def test_realised_returns_reverse(study, arms, monkeypatch):
    monkeypatch.setattr(generalisation, "forecasts_of", answered_by(
        lambda study, folder, items: items.assign(forecast=items["x"].astype(float))))
    found = stock_rows(study, arms)
    realised = found[(found["arm"] == "realised") & (found["condition"] == 1)].iloc[0]
    assert realised["high"] < 0
    assert isinstance(found, pd.DataFrame) and set(found["metric"]) == {"lag_coefficient"}
