"""Noise in x and in forecasts: bias as the formulas say, and its removal."""

import numpy as np
import pytest
from estimator_frames import ar1_frame

from lib.errors import InvalidValueError
from lib.forecasting.forecasters import add_noise, misperceived, revision_coefficient
from lib.statistics.measurement import (
    noisy_revision_coefficient,
    reliability,
    without_noise_in_forecast,
    without_noise_in_x,
)
from lib.statistics.regressions import (
    NotDefinedError,
    error_on_level,
    error_revision,
    implied_persistence,
)


@pytest.fixture(scope="module")
def clean():
    return misperceived(ar1_frame(0.6, 1500, 6, sigma=8.0, seed=1), 0.8)


def noisy_x(frame, sd, seed):
    return frame.assign(x=frame["x"] + np.random.default_rng(seed).normal(0, sd, len(frame)))


@pytest.mark.parametrize("sd", [3.0, 8.0])
def test_noise_in_x_shrinks_the_slope_by_the_reliability(clean, sd):
    noisy = noisy_x(clean, sd, 2)
    theory = 0.8 * reliability(10.0**2 + sd**2, sd)  # sigma 8 and rho 0.6 make Var(x) 100
    assert implied_persistence(noisy).value == pytest.approx(theory, abs=0.015)
    corrected = without_noise_in_x(noisy, implied_persistence, sd)
    assert corrected.value == pytest.approx(0.8, abs=3 * corrected.se)
    assert corrected.value == pytest.approx(
        implied_persistence(noisy).value / reliability(noisy["x"].var(ddof=0), sd)
    )
    level = without_noise_in_x(noisy, error_on_level, sd)
    assert level.value == pytest.approx(-0.2, abs=3 * level.se)


@pytest.mark.parametrize("sd", [2.0, 6.0, 20.0])
def test_noise_in_forecasts_drives_b_to_minus_one_half(clean, sd):
    noisy = add_noise(clean, sd, seed=3)
    revision = clean["forecast"] - clean["previous_forecast"]
    b = revision_coefficient(0.8, 0.64, 0.6, 0.0, 10.0)
    theory = noisy_revision_coefficient(b, revision.var(), sd)
    assert theory == pytest.approx(revision_coefficient(0.8, 0.64, 0.6, sd, 10.0), abs=0.01)
    found = error_revision(noisy)
    assert abs(found.value - theory) < 4 * found.se
    corrected = without_noise_in_forecast(noisy, sd)
    assert abs(corrected.value - b) < 3 * corrected.se


def test_the_limit_is_minus_one_half_and_unequal_noise_moves_it():
    assert noisy_revision_coefficient(0.3, 1.0, 1e4) == pytest.approx(-0.5)
    assert noisy_revision_coefficient(0.3, 1.0, 1e4, 0.0) == pytest.approx(-1.0)
    assert noisy_revision_coefficient(0.3, 1.0, 0.0, 1e4) == pytest.approx(0.0, abs=1e-6)


def test_only_the_previous_forecast_is_noisy(clean):
    draws = np.random.default_rng(4).normal(0, 6.0, len(clean))
    noisy = clean.assign(previous_forecast=clean["previous_forecast"] + draws)
    corrected = without_noise_in_forecast(noisy, 0.0, 6.0)
    assert abs(corrected.value - error_revision(clean).value) < 3 * corrected.se


def test_without_noise_the_plain_estimates_return(clean):
    for corrected, plain in (
        (without_noise_in_forecast(clean, 0.0), error_revision(clean)),
        (without_noise_in_x(clean, implied_persistence, 0.0), implied_persistence(clean)),
    ):
        assert corrected.value == pytest.approx(plain.value)
        assert corrected.se == pytest.approx(plain.se, abs=1e-9)
        assert (corrected.n, corrected.clusters, corrected.df) == (9000, 1500, 1499)


def test_corrected_intervals_are_honest():
    clean = misperceived(ar1_frame(0.6, 150 * 40, 5, history=2, sigma=8.0, seed=5), 0.8)
    noisy = noisy_x(add_noise(clean, 6.0, seed=6), 5.0, 7)
    noisy = noisy.drop(columns=["history", "previous_history"])
    b = revision_coefficient(0.8, 0.64, 0.6, 0.0, 10.0)
    panel = noisy["series"].str[1:].astype(int) % 150
    revision, level, plain = [], [], []
    for _, frame in noisy.groupby(panel):
        revision.append(without_noise_in_forecast(frame, 6.0))
        level.append(without_noise_in_x(frame, implied_persistence, 5.0))
        plain.append(error_revision(frame).covers(b))
    for found, truth in ((revision, b), (level, 0.8)):
        values = np.array([e.value for e in found])
        assert 0.89 < np.mean([e.covers(truth) for e in found]) < 0.99
        assert np.mean([e.se for e in found]) == pytest.approx(values.std(), rel=0.15)
        assert values.mean() == pytest.approx(truth, abs=0.02)
    assert np.mean(plain) < 0.2


def test_more_noise_than_signal_is_not_defined(clean):
    with pytest.raises(NotDefinedError, match="average"):
        without_noise_in_forecast(clean, 50.0)
    with pytest.raises(NotDefinedError):
        without_noise_in_x(clean, implied_persistence, 50.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda f: without_noise_in_x(f, error_revision, 1.0),
        lambda f: without_noise_in_x(f, implied_persistence, -1.0),
        lambda f: without_noise_in_forecast(f, np.nan),
        lambda f: without_noise_in_forecast(f.assign(series="one"), 1.0),
    ],
)
def test_bad_calls_are_refused(clean, call):
    with pytest.raises(InvalidValueError):
        call(clean)
