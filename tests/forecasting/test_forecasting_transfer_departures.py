"""Processes of the transfer table: on the display scale, answered as statsmodels would."""

from functools import partial

import numpy as np
import pytest
from statsmodels.tsa.statespace.sarimax import SARIMAX
from statsmodels.tsa.statespace.structural import UnobservedComponents

from lib.forecasting import transfer as d
from lib.forecasting.bayes import break_path
from lib.forecasting.frames import panel_values, shown

DEPARTURES = {
    "ar2": d.AR2, "ma1": d.MA1, "local level": d.LOCAL_LEVEL, "arch": d.ARCH, "drift": d.DRIFT,
    "rho": d.persistence_break(0.9, 0.1), "mean": d.mean_break(0.4, 3.0),
}  # fmt: skip
SMALL = d.Design(series=12, rounds=3, seed=5)


def diffuse_level(x):
    model = UnobservedComponents(x + 100.0, "local level")
    model.ssm.initialize("diffuse")
    model.ssm.loglikelihood_burn = 0
    return model


STATE_SPACE = {
    "ar2": (lambda x: SARIMAX(x, order=(2, 0, 0)), [1.2, -0.5, 64.0], 100.0),
    "ma1": (lambda x: SARIMAX(x, order=(0, 0, 1)), [0.8, 64.0], 100.0),
    "local level": (diffuse_level, [64.0, 16.0], 0.0),
}


@pytest.mark.parametrize("name", STATE_SPACE)
def test_full_information_equals_statsmodels_on_the_past_of_each_item(name):
    build, params, centre = STATE_SPACE[name]
    frame = DEPARTURES[name].rational(DEPARTURES[name].items(SMALL))
    values, row = panel_values(frame)
    for i in (0, 10, 35):
        t = frame["t"][i]
        for column, end, ahead in (("forecast", t, 1), ("previous_forecast", t - 1, 2)):
            past = values[row[i], : end + 1] - 100.0
            expected = centre + build(past).smooth(np.array(params)).forecast(ahead)[-1]
            assert frame[column][i] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("name", DEPARTURES)
def test_items_are_integers_of_the_display_scale(name):
    frame = DEPARTURES[name].items(SMALL)
    assert len(frame) == 36 and frame["rho"].isna().all()
    assert shown(frame).min() >= 0 and shown(frame).max() <= 199
    assert frame["x"].dtype.kind == "i" and frame["outcome"].between(0, 199).all()
    assert frame["rejected"].iloc[0] < 0.2


@pytest.mark.parametrize("name", DEPARTURES)
def test_who_knows_the_process_forecasts_best(name):
    frame = DEPARTURES[name].items(d.Design(series=250, rounds=1, seed=6))

    def mse(filled):
        return float(((filled["outcome"] - filled["forecast"]) ** 2).mean())

    rational, feasible = DEPARTURES[name].rational(frame), DEPARTURES[name].feasible(frame)
    error = rational["outcome"] - rational["forecast"]
    gain = (feasible["outcome"] - feasible["forecast"]) ** 2 - error**2
    assert gain.mean() > -2 * gain.std() / np.sqrt(len(gain))
    assert mse(feasible) < mse(frame.assign(forecast=frame["history"].str[0]))
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(len(error))


def test_the_answer_to_arch_is_the_mean_and_to_drift_the_last_value_and_a_step():
    arch, drift = d.ARCH.items(SMALL), d.DRIFT.items(SMALL)
    assert (d.ARCH.rational(arch)["forecast"] == 100).all()
    filled = d.DRIFT.rational(drift)
    before = drift["previous_history"].str[-1]
    assert np.allclose(filled["forecast"], drift["x"] + 2)
    assert np.allclose(filled["previous_forecast"], before + 4)


@pytest.mark.parametrize("name", ["rho", "mean"])
def test_breaks_lie_three_values_before_the_end_of_the_first_history(name):
    assert d.break_position(12) == 10
    frame = DEPARTURES[name].rational(DEPARTURES[name].items(SMALL))
    rhos = {"rho": (0.9, 0.1), "mean": (0.4, 0.4)}[name]
    after = 124.0 if name == "mean" else 100.0
    assert np.allclose(frame["forecast"], after + rhos[1] * (frame["x"] - after))
    values, row = panel_values(frame)
    path = partial(break_path, rho_before=rhos[0], rho_after=rhos[1], break_at=10, mu=100,
                   mu_after=after)
    assert np.allclose(frame["previous_forecast"], path(values, 2)[row, frame["t"] - 1])


def test_a_learner_takes_time_to_believe_in_a_new_mean():
    frame = d.mean_break(0.4, 3.0).items(d.Design(series=40, rounds=8, seed=7))
    gap = d.mean_break(0.4, 3.0).rational(frame)["forecast"]
    gap = (gap - d.mean_break(0.4, 3.0).feasible(frame)["forecast"]).groupby(frame["t"]).mean()
    assert gap.iloc[0] > 2 * abs(gap.iloc[-1]) and gap.iloc[0] > 2
