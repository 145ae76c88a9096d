"""Fixed effects: Nickell's bias as his formula says, and the jackknife against it."""

import numpy as np
import pandas as pd
import pytest
from estimator_frames import ar1_frame

from lib.errors import InvalidValueError
from lib.forecasting.forecasters import add_noise, misperceived
from lib.forecasting.learners import full_information
from lib.statistics.regressions import (
    NotDefinedError,
    error_on_level,
    error_revision,
    implied_persistence,
)
from lib.statistics.within import half_panel_jackknife, within_series


def nickell_bias(rho, rounds):
    """Limit of ``rho_hat - rho`` with fixed effects, many series (Nickell 1981, equation 18)."""
    h = 1 - (1 - rho**rounds) / (rounds * (1 - rho))
    return -(1 + rho) / (rounds - 1) * h / (1 - 2 * rho * h / ((1 - rho) * (rounds - 1)))


def demeaned(frame):
    """Every number less the mean of its series."""
    columns = ["x", "outcome", "forecast", "previous_forecast"]
    return frame.assign(
        **{c: frame[c] - frame.groupby("series")[c].transform("mean") for c in columns})


@pytest.mark.parametrize(("rho", "rounds"), [(-0.5, 4), (0.0, 10), (0.6, 8), (0.9, 40)])
def test_a_rational_forecaster_seems_to_overreact_by_nickells_bias(rho, rounds):
    frame = full_information(ar1_frame(rho, 3000, rounds, seed=3))
    found = within_series(frame, error_on_level)
    assert abs(found.value - nickell_bias(rho, rounds)) < 4 * found.se
    plain = error_on_level(frame)
    assert found.high < 0 and abs(plain.value) < 4 * plain.se


def test_within_equals_ols_on_demeaned_frames():
    frame = add_noise(misperceived(ar1_frame(0.6, 60, 7, seed=4), 0.8), 2.0)
    for estimator in (implied_persistence, error_revision, error_on_level):
        found, other = within_series(frame, estimator), estimator(demeaned(frame))
        assert found.value == pytest.approx(other.value)
        assert found.se == pytest.approx(other.se, rel=0.02)
        assert found.name == f"{estimator.__name__}_within"


def test_implied_persistence_has_no_such_bias():
    frame = misperceived(ar1_frame(0.6, 200, 6, seed=5), 0.8)
    assert within_series(frame, implied_persistence).value == pytest.approx(0.8)


@pytest.mark.parametrize("rho", [0.0, 0.4, 0.8])
def test_the_jackknife_removes_most_of_the_bias(rho):
    frame = full_information(ar1_frame(rho, 4000, 20, seed=6))
    biased, corrected = (f(frame, error_on_level) for f in (within_series, half_panel_jackknife))
    assert biased.high < -0.03
    assert abs(corrected.value) < 0.35 * abs(biased.value)
    assert corrected.se < 2 * biased.se


def test_the_jackknife_is_the_combination_of_three_estimates():
    frame = add_noise(misperceived(ar1_frame(0.5, 40, 9, seed=7), 0.8), 2.0)
    first = frame["t"] < frame["t"].min() + 5
    whole, early, late = (
        within_series(f, error_revision).value for f in (frame, frame[first], frame[~first])
    )
    found = half_panel_jackknife(frame.sample(frac=1, random_state=0), error_revision)
    assert found.value == pytest.approx(2 * whole - 5 / 9 * early - 4 / 9 * late)


def test_the_jackknife_s_interval_is_honest():
    inside, estimates = 0, []
    for seed in range(150):
        frame = full_information(ar1_frame(0.4, 40, 20, history=2, seed=seed))
        found = half_panel_jackknife(frame, error_on_level)
        inside += found.covers(0.0)
        estimates.append((found.value, found.se))
    values, errors = np.array(estimates).T
    assert 0.88 < inside / 150 < 0.99
    assert errors.mean() == pytest.approx(values.std(), rel=0.2)


def test_bad_panels_are_refused():
    frame = misperceived(ar1_frame(0.5, 10, 3, seed=9), 0.8)
    with pytest.raises(InvalidValueError, match="4 rounds"):
        half_panel_jackknife(frame, implied_persistence)
    with pytest.raises(InvalidValueError, match="two series"):
        within_series(frame.assign(series="one"), implied_persistence)
    flat = frame.assign(x=frame.groupby("series")["x"].transform("first"))
    with pytest.raises(NotDefinedError, match="within series"):
        within_series(pd.DataFrame(flat), implied_persistence)
