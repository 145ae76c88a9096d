"""Habits seen through the estimators: every answer is known in closed form."""

import numpy as np
import pytest

from lib.forecasting import forecasters as habits
from lib.forecasting.frames import ar1_items, panel_items
from lib.forecasting.learners import full_information, least_squares
from lib.forecasting.processes import ar1
from lib.statistics.regressions import error_on_level, error_revision, implied_persistence

RHOS = (0.0, 0.2, 0.4, 0.6, 0.8)


def panel(rho, series=400, rounds=40, sigma=20.0, seed=1):
    """Afrouzi et al.'s design: forty values shown first, unrounded, mean zero."""
    values = ar1(rho, series, 40 + rounds + 1, sigma, seed=[seed, int(rho * 100)])
    ids = [f"{rho}-{k}" for k in range(series)]
    return panel_items(values, 40, ids, rho=rho, mu=0.0, sigma=sigma)


@pytest.fixture(scope="module")
def panels():
    return {rho: panel(rho) for rho in (*RHOS, 1.0)}


def near(estimate, truth, floor=0.0):
    """Within four standard errors (and no tighter than ``floor``)."""
    return abs(estimate.value - truth) < 4 * estimate.se + floor


@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("r1", [0.45, 0.7, 0.95])
def test_misperceived_persistence_has_the_closed_form_coefficient(panels, rho, r1):
    frame = habits.misperceived(panels[rho], r1)
    assert implied_persistence(frame).value == pytest.approx(r1, rel=1e-9)
    assert near(error_revision(frame), habits.revision_coefficient(r1, r1**2, rho))
    assert near(error_on_level(frame), rho - r1)


def test_at_rho_zero_the_coefficient_does_not_measure_the_bias(panels):
    past = panels[0.0]["previous_history"].str[-1]
    for r in (0.05, 0.9):  # the belief does not decay with the horizon
        frame = panels[0.0].assign(forecast=r * panels[0.0]["x"], previous_forecast=r * past)
        assert near(error_revision(frame), habits.revision_coefficient(r, r, 0.0))
        assert habits.revision_coefficient(r, r, 0.0) == -0.5


def test_humans_are_interpolated_over_unseen_rho():
    frame = habits.misperceived(panel(0.5, 20, 5), habits.HUMANS)
    assert implied_persistence(frame).value == pytest.approx((0.77 + 0.85) / 2, rel=1e-9)
    planted = habits.misperceived(panel(0.5, 20, 5), {0.0: 0.4, 1.0: 1.0})
    assert implied_persistence(planted).value == pytest.approx(0.7, rel=1e-9)


@pytest.mark.parametrize("rho", RHOS[1:])
def test_full_information_has_no_bias(panels, rho):
    frame = full_information(panels[rho])
    assert implied_persistence(frame).value == pytest.approx(rho, rel=1e-9)
    assert near(error_revision(frame), 0.0)


@pytest.mark.parametrize("rho", [0.0, 0.6, 1.0])
def test_pure_noise_looks_like_overreaction(panels, rho):
    frame = habits.noise(panels[rho], sd=20.0, seed=3)
    assert near(implied_persistence(frame), 0.0)
    assert near(error_revision(frame), -0.5)


@pytest.mark.parametrize(("rho", "sd"), [(0.2, 5.0), (0.6, 10.0)])
def test_noise_on_rational_forecasts_follows_the_attenuation_formula(panels, rho, sd):
    frame = habits.add_noise(full_information(panels[rho]), sd, seed=4)
    x_sd = 20 / np.sqrt(1 - rho**2)
    truth = habits.revision_coefficient(rho, rho**2, rho, sd, x_sd)
    assert truth < -0.1
    assert near(error_revision(frame), truth)
    assert near(implied_persistence(frame), rho)


def test_a_rational_learner_overreacts_by_the_coefficient_at_rho_zero(panels):
    direct = least_squares(panels[0.0], lags=4)
    assert error_revision(direct).value == pytest.approx(-0.45, abs=0.06)
    one_lag = least_squares(panels[0.0])
    assert error_revision(one_lag).value == pytest.approx(-0.5, abs=0.06)
    for frame in (direct, one_lag):
        assert abs(implied_persistence(frame).value) < 0.03


@pytest.mark.parametrize("rho", RHOS[1:])
def test_sticky_forecasts_underreact_by_l_over_one_minus_l(panels, rho):
    frame = habits.sticky(panels[rho], 0.3)
    assert near(error_revision(frame), 0.3 / 0.7)
    assert implied_persistence(frame).value < rho


@pytest.mark.parametrize("rho", RHOS[1:])
def test_diagnostic_forecasts_have_their_flat_coefficient(panels, rho):
    theta = 0.5
    truth = -theta * (1 + theta) / ((1 + theta) ** 2 + theta**2 * rho**2)
    frame = habits.diagnostic(panels[rho], theta)
    assert near(error_revision(frame), truth)
    # F = E + theta rho e and Cov(e, x) / Var(x) = 1 - rho^2
    assert near(implied_persistence(frame), rho + theta * rho * (1 - rho**2))


def test_diagnostic_forecasts_cannot_overreact_at_rho_zero(panels):
    assert (habits.diagnostic(panels[0.0])["forecast"] == 0).all()


def test_extrapolative_slope_follows_from_the_autocovariance(panels):
    frame = habits.extrapolative(panels[0.4], phi=0.5)
    assert near(implied_persistence(frame), 1.5 - 0.5 * 0.4)
    before, now = (frame["history"].str[k] for k in (-2, -1))
    assert np.allclose(frame["forecast"], 1.5 * now - 0.5 * before)


def test_adaptive_forecasts_are_a_weighted_average_of_what_is_shown(panels):
    frame = habits.adaptive(panels[0.6], 0.4)
    d, n = 0.4, 40
    weights = np.array([(1 - d) * d**k for k in range(n - 1)] + [d ** (n - 1)])
    shown = np.array(frame["history"].tolist())[:, ::-1]
    assert weights.sum() == pytest.approx(1)
    assert np.allclose(frame["forecast"], shown @ weights)
    same = frame["series"].eq(frame["series"].shift())
    assert np.allclose(
        frame["previous_forecast"][same], frame["forecast"].shift()[same], atol=1e-6
    )


def test_a_longer_horizon_shrinks_the_rational_slope_and_grows_the_excess():
    values = ar1(0.8, 200, 60, 20.0, seed=2)
    ids = [str(k) for k in range(200)]
    for h in (1, 2, 5):
        frame = panel_items(values, 30, ids, h, rho=0.8, mu=0.0, sigma=20.0)
        slope = implied_persistence(habits.misperceived(frame, 0.9)).value
        assert slope == pytest.approx(0.9**h)
        assert implied_persistence(full_information(frame)).value == pytest.approx(0.8**h)


@pytest.mark.parametrize("name", habits.HABITS)
def test_every_forecaster_fills_the_frame_of_the_sandbox(name):
    frame = ar1_items([0.0, 0.6, 1.0], 6, 8, 12, 8.0, seed=5)
    filled = habits.HABITS[name](frame)
    assert len(filled) == len(frame)
    assert np.isfinite(filled[["forecast", "previous_forecast"]].to_numpy(dtype=float)).all()
