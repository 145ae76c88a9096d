"""Processes against their known moments and laws."""

import numpy as np
import pytest

from lib.errors import InvalidValueError
from lib.forecasting import processes as p

N = 20_000


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.4, 0.9])
def test_ar1_is_stationary_from_the_first_value(rho):
    x = p.ar1(rho, N, 6, sigma=2.0, mu=5.0, seed=1)
    sd = 2.0 / np.sqrt(1 - rho**2)
    assert np.allclose(x.mean(axis=0), 5.0, atol=5 * sd / np.sqrt(N))
    assert np.allclose(x.std(axis=0), sd, rtol=0.03)
    assert np.corrcoef(x[:, 2], x[:, 3])[0, 1] == pytest.approx(rho, abs=0.03)


def test_ar1_obeys_its_own_recursion_with_the_same_shocks():
    x = p.ar1(0.6, 3, 50, sigma=2.0, mu=10.0, seed=4)
    shocks = np.random.default_rng(4).normal(0, 2.0, (3, 50))
    y = np.empty_like(x)
    y[:, 0] = 10 + shocks[:, 0] / np.sqrt(1 - 0.36)
    for t in range(1, 50):
        y[:, t] = 10 + 0.6 * (y[:, t - 1] - 10) + shocks[:, t]
    assert np.allclose(x, y, atol=1e-12)


def test_a_random_walk_starts_at_its_mean_and_spreads_linearly():
    x = p.ar1(1.0, N, 10, sigma=3.0, mu=7.0, seed=2)
    assert (x[:, 0] == 7.0).all()
    assert np.allclose(x[:, 1:].var(axis=0), 9.0 * np.arange(1, 10), rtol=0.05)


@pytest.mark.parametrize(("phi1", "phi2"), [(0.5, 0.3), (1.3, -0.6), (-0.4, 0.2)])
def test_ar2_moments_hold_in_every_period(phi1, phi2):
    variance, covariance = p.ar2_moments(phi1, phi2, 1.0)
    x = p.ar2(phi1, phi2, N, 5, sigma=1.0, mu=3.0, seed=3)
    assert np.allclose(x.var(axis=0), variance, rtol=0.05)
    sample = [np.cov(x[:, t], x[:, t + 1])[0, 1] for t in range(4)]
    assert np.allclose(sample, covariance, atol=0.05 * variance)


def test_ma1_remembers_one_period_only():
    x = p.ma1(0.5, N, 4, sigma=2.0, seed=5)
    assert x.var() == pytest.approx(4 * 1.25, rel=0.03)
    assert np.corrcoef(x[:, 0], x[:, 1])[0, 1] == pytest.approx(0.4, abs=0.03)
    assert np.corrcoef(x[:, 0], x[:, 2])[0, 1] == pytest.approx(0.0, abs=0.03)


def test_local_level_adds_noise_to_a_walk():
    x = p.local_level(1.0, 2.0, N, 6, mu=50.0, seed=6)
    assert np.allclose(x.var(axis=0), 4 + np.arange(6), rtol=0.06)
    assert np.diff(x, axis=1).var() == pytest.approx(1 + 2 * 4, rel=0.03)


def test_a_break_changes_persistence_and_mean_at_its_date():
    x = p.regime_break(0.9, 0.1, 30, N, 60, sigma=1.0, mu=0.0, mu_after=20.0, seed=7)
    before = np.corrcoef(x[:, 28], x[:, 29])[0, 1]
    across = np.polyfit(x[:, 29], x[:, 30], 1)
    assert before == pytest.approx(0.9, abs=0.02)
    assert across == pytest.approx([0.1, 18.0], abs=0.05)
    assert x[:, -1].mean() == pytest.approx(20.0, abs=0.05)


def test_arch_has_unforecastable_mean_and_clustered_variance():
    x = p.arch1(1.0, 0.4, 4000, 40, mu=1.0, seed=8) - 1.0
    assert x.var() == pytest.approx(1 / 0.6, rel=0.06)
    assert np.corrcoef(x[:, :-1].ravel(), x[:, 1:].ravel())[0, 1] == pytest.approx(0, abs=0.02)
    squares = x**2
    assert np.corrcoef(squares[:, :-1].ravel(), squares[:, 1:].ravel())[0, 1] > 0.15


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: p.ar1(0.5, 3, 9, 1.0, seed=seed),
        lambda seed: p.ar2(0.5, 0.2, 3, 9, 1.0, seed=seed),
        lambda seed: p.ma1(0.5, 3, 9, 1.0, seed=seed),
        lambda seed: p.local_level(1.0, 1.0, 3, 9, seed=seed),
        lambda seed: p.regime_break(0.5, 0.1, 4, 3, 9, 1.0, seed=seed),
        lambda seed: p.arch1(1.0, 0.2, 3, 9, seed=seed),
    ],
)
def test_seeds_are_explicit(draw):
    assert np.array_equal(draw(11), draw(11))
    assert np.array_equal(draw(11), draw(np.random.default_rng(11)))
    assert not np.array_equal(draw(11), draw(12))
    assert draw(11).shape == (3, 9)


@pytest.mark.parametrize(
    "call",
    [
        lambda: p.ar1(1.2, 3, 9, 1.0, seed=0),
        lambda: p.ar1(-1.0, 3, 9, 1.0, seed=0),
        lambda: p.ar1(0.5, 0, 9, 1.0, seed=0),
        lambda: p.ar1(0.5, 3, 9, -1.0, seed=0),
        lambda: p.ar2(0.8, 0.4, 3, 9, 1.0, seed=0),
        lambda: p.regime_break(0.5, 0.5, 9, 3, 9, 1.0, seed=0),
        lambda: p.arch1(1.0, 1.0, 3, 9, seed=0),
    ],
)
def test_impossible_parameters_are_refused(call):
    with pytest.raises(InvalidValueError, match="Expected .* Found .* What to do"):
        call()
