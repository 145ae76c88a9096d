"""Fixed effects: Nickell's bias as the formula says, the jackknife and the inversion against it."""

import numpy as np
import pandas as pd
import pytest
from estimator_frames import ar1_frame

from lib.errors import InvalidValueError
from lib.forecasting.forecasters import add_noise, misperceived
from lib.forecasting.learners import full_information
from lib.forecasting.processes import ar1
from lib.statistics.regressions import (
    NotDefinedError,
    demean_by_series,
    error_on_level,
    error_revision,
    implied_persistence,
)
from lib.statistics.within import (
    half_panel_jackknife,
    nickell_bias,
    nickell_corrected,
    within_series,
)


def within_slopes(values):
    """One fixed-effects slope of ``x_{t+1}`` on ``x_t`` over all rows of ``values``."""
    before, after = values[:, :-1], values[:, 1:]
    before = before - before.mean(axis=1, keepdims=True)
    return (before * after).sum() / (before**2).sum()


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.5, 0.9])
@pytest.mark.parametrize("rounds", [2, 4, 10, 40])
def test_nickell_bias_is_what_many_series_have(rho, rounds):
    slope = within_slopes(ar1(rho, 60_000, rounds + 1, 1.0, seed=1))
    assert slope - rho == pytest.approx(nickell_bias(rho, rounds), abs=0.012)


@pytest.mark.parametrize("rounds", [2, 4, 10, 40])
def test_the_random_walk_is_the_limit(rounds):
    slope = within_slopes(ar1(1.0, 60_000, rounds + 1, 1.0, seed=2))
    assert slope - 1 == pytest.approx(nickell_bias(1.0, rounds), abs=0.012)
    assert nickell_bias(1 - 2e-4, rounds) == pytest.approx(nickell_bias(1.0, rounds), abs=1e-3)


def test_a_rational_forecaster_seems_to_overreact_by_exactly_that():
    frame = full_information(ar1_frame(0.6, 3000, 8, seed=3))
    found = within_series(frame, error_on_level)
    assert abs(found.value - nickell_bias(0.6, 8)) < 4 * found.se
    assert found.high < -0.15 and error_on_level(frame).covers(0.0)


def test_within_equals_ols_on_demeaned_frames():
    frame = add_noise(misperceived(ar1_frame(0.6, 60, 7, seed=4), 0.8), 2.0)
    for estimator in (implied_persistence, error_revision, error_on_level):
        found, other = within_series(frame, estimator), estimator(demean_by_series(frame))
        assert found.value == pytest.approx(other.value)
        assert found.se == pytest.approx(other.se, rel=0.01)
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


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, 1.0])
def test_inverting_the_formula_recovers_rho(rho):
    biased = rho + nickell_bias(rho, 6)
    assert nickell_corrected(biased, 6) == pytest.approx(rho, abs=1e-3)
    simulated = within_slopes(ar1(rho, 60_000, 7, 1.0, seed=8))
    assert nickell_corrected(simulated, 6) == pytest.approx(rho, abs=0.03)


def test_slopes_that_no_persistence_explains():
    assert nickell_corrected(1.2, 6) == 1.0
    with pytest.raises(InvalidValueError, match="stationary"):
        nickell_corrected(-3.0, 6)


@pytest.mark.parametrize("call", [lambda: nickell_bias(0.5, 1), lambda: nickell_bias(1.5, 5)])
def test_formula_outside_its_range(call):
    with pytest.raises(InvalidValueError):
        call()


def test_bad_panels_are_refused():
    frame = misperceived(ar1_frame(0.5, 10, 3, seed=9), 0.8)
    with pytest.raises(InvalidValueError, match="4 rounds"):
        half_panel_jackknife(frame, implied_persistence)
    with pytest.raises(InvalidValueError, match="two series"):
        within_series(frame.assign(series="one"), implied_persistence)
    flat = frame.assign(x=frame.groupby("series")["x"].transform("first"))
    with pytest.raises(NotDefinedError, match="within series"):
        within_series(pd.DataFrame(flat), implied_persistence)
