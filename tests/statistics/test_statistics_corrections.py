"""Small-sample bias: simulated bias equals its formula, and the corrected estimate has little."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter

from lib.errors import InvalidValueError
from lib.forecasting.processes import ar1
from lib.statistics.corrections import (
    ar1_bias,
    ar1_slopes,
    corrected_persistence,
    kendall_corrected,
    predictive_slope,
    stambaugh_bias,
)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9])
def test_kendall_bias_and_its_removal(rho):
    pairs = 40
    slopes = ar1_slopes(ar1(rho, 30_000, pairs + 1, 1.0, mu=7.0, seed=1))
    bias, formula = slopes.mean() - rho, ar1_bias(rho, pairs)
    assert bias == pytest.approx(formula, rel=0.12, abs=0.004)
    left = kendall_corrected(slopes, pairs).mean() - rho
    assert abs(left) < 0.15 * abs(formula) + 0.002


@pytest.mark.parametrize("rho", [0.3, 0.6])
def test_hurwicz_bias_with_a_known_mean(rho):
    values = ar1(rho, 30_000, 41, 1.0, seed=2)
    slopes = (values[:, :-1] * values[:, 1:]).sum(axis=1) / (values[:, :-1] ** 2).sum(axis=1)
    assert slopes.mean() - rho == pytest.approx(ar1_bias(rho, 40, mean_known=True), rel=0.12)


def test_random_walks_are_beyond_the_formula_as_documented():
    slopes = ar1_slopes(ar1(1.0, 20_000, 101, 1.0, seed=3))
    assert 100 * (slopes.mean() - 1) == pytest.approx(-5.3, abs=0.2)


@given(st.floats(-0.9, 0.99), st.integers(4, 500))
def test_the_correction_inverts_the_bias(rho, pairs):
    assert kendall_corrected(rho + ar1_bias(rho, pairs), pairs) == pytest.approx(rho, abs=1e-9)


def test_persistence_of_one_series_has_the_scaled_ols_error():
    values = ar1(0.7, 1, 61, 2.0, mu=5.0, seed=4)[0]
    fit = sm.OLS(values[1:], sm.add_constant(values[:-1])).fit()
    found = corrected_persistence(values)
    assert found.value == pytest.approx((60 * fit.params[1] + 1) / 57)
    assert found.se == pytest.approx(fit.bse[1] * 60 / 57)
    assert (found.n, found.clusters, found.df) == (60, 1, 58)


def test_corrected_interval_covers_where_the_plain_one_does_not():
    values = ar1(0.9, 1500, 41, 1.0, seed=5)
    plain, corrected = 0, 0
    slopes = ar1_slopes(values)
    before = values[:, :-1] - values[:, :-1].mean(axis=1, keepdims=True)
    after = values[:, 1:] - values[:, 1:].mean(axis=1, keepdims=True)
    residual = after - slopes[:, None] * before
    se = np.sqrt((residual**2).sum(axis=1) / 38 / (before**2).sum(axis=1))
    plain = (np.abs(slopes - 0.9) < 2.02 * se).mean()
    corrected = (np.abs(kendall_corrected(slopes, 40) - 0.9) < 2.02 * se * 40 / 37).mean()
    assert plain < 0.89 < corrected
    one = corrected_persistence(values[0])
    assert one.se == pytest.approx(se[0] * 40 / 37)


def predictive(rho, ratio, b, series, length, seed):
    """x AR(1) with shocks v; y_{t+1} = b x_t + ratio v_{t+1} + noise."""
    rng = np.random.default_rng(seed)
    v = rng.normal(size=(series, length + 100))
    x = lfilter([1.0], [1.0, -rho], v, axis=1)[:, 100:]
    u = ratio * v[:, 100:] + 0.5 * rng.normal(size=(series, length))
    y = np.concatenate([u[:, :1], b * x[:, :-1] + u[:, 1:]], axis=1)
    return y, x


def plain_slopes(y, x):
    before = x[:, :-1] - x[:, :-1].mean(axis=1, keepdims=True)
    return (before * y[:, 1:]).sum(axis=1) / (before**2).sum(axis=1)


@pytest.mark.parametrize(("rho", "ratio"), [(0.9, -1.0), (0.6, 1.0), (0.0, 2.0)])
def test_stambaugh_bias(rho, ratio):
    y, x = predictive(rho, ratio, 0.1, 30_000, 61, seed=6)
    bias = plain_slopes(y, x).mean() - 0.1
    assert bias == pytest.approx(stambaugh_bias(rho, ratio, 60), rel=0.12)


def test_the_augmented_regression_removes_it_with_an_honest_interval():
    y, x = predictive(0.9, -1.0, 0.1, 600, 61, seed=7)
    found = [predictive_slope(a, b) for a, b in zip(y, x, strict=True)]
    values = np.array([e.value for e in found])
    bias = plain_slopes(y, x).mean() - 0.1
    assert bias > 0.05
    assert abs(values.mean() - 0.1) < 0.25 * bias
    assert np.mean([e.se for e in found]) == pytest.approx(values.std(), rel=0.15)
    assert 0.90 < np.mean([e.covers(0.1) for e in found]) < 0.98
    assert (found[0].n, found[0].name) == (60, "predictive_slope")


def test_the_augmented_slope_is_ols_shifted_by_phi():
    """``b_c = b_ols + phi (rho_c - rho_hat)``, from partialling out, with phi of the same fit."""
    y, x = (a[0] for a in predictive(0.8, 1.5, 0.0, 1, 51, seed=8))
    rho_hat = ar1_slopes(x[None])[0]
    rho_c = rho_hat + (1 + 3 * rho_hat) / 50 + 3 * (1 + 3 * rho_hat) / 50**2
    design = np.column_stack([np.ones(50), x[:-1], x[1:]])
    phi = np.linalg.lstsq(design, y[1:], rcond=None)[0][2]
    expected = plain_slopes(y[None], x[None])[0] + phi * (rho_c - rho_hat)
    assert predictive_slope(y, x).value == pytest.approx(expected)


def test_a_rational_forecaster_of_one_series_looks_overreacting_until_corrected():
    values = ar1(0.8, 500, 41, 8.0, seed=9)
    errors = np.concatenate([np.zeros((500, 1)), values[:, 1:] - 0.8 * values[:, :-1]], axis=1)
    plain = plain_slopes(errors, values).mean()
    corrected = np.mean(
        [predictive_slope(e, x).value for e, x in zip(errors, values, strict=True)]
    )
    assert plain == pytest.approx(stambaugh_bias(0.8, 1.0, 40), abs=0.015)
    assert abs(corrected) < 0.3 * abs(plain)


@pytest.mark.parametrize(
    "call",
    [
        lambda: kendall_corrected(0.5, 3),
        lambda: corrected_persistence(np.ones(30)),
        lambda: corrected_persistence(np.arange(4.0)),
        lambda: corrected_persistence(np.array([1.0, np.nan, 2, 3, 4, 5, 6])),
        lambda: predictive_slope(np.arange(9.0), np.arange(10.0) ** 2),
    ],
)
def test_what_cannot_be_corrected_is_refused(call):
    with pytest.raises(InvalidValueError):
        call()
