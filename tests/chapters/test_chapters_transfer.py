"""The transfer table: closed forms on planted forecasters, rows on a tiny model."""

import numpy as np
import pytest
import world_models

from lib.chapters import transfer as generalisation
from lib.chapters.transfer import (
    equivariance_runs,
    mean_gap,
    mean_slope,
    mse_ratio,
    rational_rows,
    real_rows,
    real_runs,
    stock_tables,
    transfer_runs,
)
from lib.forecasting.forecasters import add_noise, misperceived
from lib.forecasting.frames import ar1_items
from lib.forecasting.learners import full_information
from lib.study.design import Run


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def items():
    frame = ar1_items([0.2, 0.8], series=60, rounds=4, history=12, sigma=8.0, seed=3)
    return frame.assign(cell=frame["rho"])


@pytest.fixture(scope="module")
def arms():
    return {"base": {Run(1, 0): world_models.tiny_base()},
            "lora": {Run(1, 1): world_models.tiny_base()}}


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


def test_mean_gap_is_the_difference_of_planted_slopes(items):
    found = mean_gap(misperceived(items, 0.9), misperceived(items, 0.4))
    assert found.value == pytest.approx(0.5, abs=1e-6)


def test_every_set_has_each_run_and_its_benchmarks(study, arms):
    names = ["trained", "horizon_2", "arch"]
    found, beside = transfer_runs(study, arms, names), rational_rows(study, names)
    assert len(found) == 3 * 3 * 2  # sets, metrics, runs
    gap = found.set_index(["condition", "arm", "metric"])["value"].unstack()
    bayes = beside[(beside["arm"] == "bayes")].pivot(
        index="condition", columns="metric", values="value").astype(float)
    assert (bayes["mse_ratio"] == 1.0).all()
    for name in names:  # a gap is the slope less that of the benchmark
        apart = gap.loc[name, "implied_persistence"] - bayes.loc[name, "implied_persistence"]
        assert apart.to_numpy() == pytest.approx(gap.loc[name, "over_reaction"].to_numpy())


def answered_by(forecaster):
    """Stands in for `forecasts_of`."""
    return lambda study, arms, items: {
        arm: {run: forecaster(items) for run in several} for arm, several in arms.items()}


def test_an_equivariant_forecaster_has_no_gap(study, arms, monkeypatch):
    monkeypatch.setattr(generalisation, "forecasts_of", answered_by(
        lambda items: items.assign(forecast=100 + 0.5 * (items["x"] - 100))))
    found = equivariance_runs(study, arms)
    assert set(found["condition"]) == {"sign_flipped", "scaled"} and len(found) == 4
    assert found["value"].to_numpy() == pytest.approx(0.0, abs=1e-12)


def test_a_pull_towards_a_number_is_no_equivariance(study, arms, monkeypatch):
    monkeypatch.setattr(generalisation, "forecasts_of", answered_by(
        lambda items: items.assign(forecast=120 + 0.5 * (items["x"] - 100))))
    assert (equivariance_runs(study, arms)["value"] > 0.5).all()


def test_real_series_are_read_beside_what_came_next(study, arms, monkeypatch):
    monkeypatch.setattr(generalisation, "forecasts_of", answered_by(
        lambda items: items.assign(forecast=items["outcome"].astype(float))))
    found, beside = real_runs(study, arms, ["oil"]), real_rows(study, ["oil"])
    slopes = found.loc[found["metric"] == "implied_persistence", "value"]
    realised = beside.loc[beside["arm"] == "realised", "value"].astype(float)
    assert slopes.to_numpy() == pytest.approx(realised.iloc[0])
    errors = found[found["metric"] == "mse_ratio"]
    assert (errors["value"] == 0).all() and errors["se"].isna().all()


def test_stocks_have_the_planted_weights(study, arms, monkeypatch):
    def planted(items):
        history = np.stack(items["history"])
        return items.assign(forecast=100 + 0.4 * history[:, -1] - 0.1 * history[:, -2])

    monkeypatch.setattr(generalisation, "forecasts_of", answered_by(planted))
    found, _ = stock_tables(study, arms)
    base = found[found["arm"] == "base"].set_index("condition")["value"]
    assert base.loc[1] == pytest.approx(0.4) and base.loc[2] == pytest.approx(-0.1)
    assert base.loc[3:].to_numpy() == pytest.approx(0.0, abs=1e-9)
    assert set(found["metric"]) == {"lag_coefficient"}


def test_realised_returns_reverse(study, arms, monkeypatch):
    monkeypatch.setattr(generalisation, "forecasts_of", answered_by(
        lambda items: items.assign(forecast=items["x"].astype(float))))
    _, beside = stock_tables(study, arms)
    realised = beside[(beside["arm"] == "realised") & (beside["condition"] == 1)].iloc[0]
    assert realised["high"] < 0
