"""Closed forms against statsmodels' state-space filter, and against simulated futures."""

from functools import partial

import numpy as np
import pytest
from statsmodels.tsa.statespace.sarimax import SARIMAX
from statsmodels.tsa.statespace.structural import UnobservedComponents

from lib.forecasting import bayes as c
from lib.forecasting import processes as p

HORIZONS = [1, 2, 5]


def diffuse_level(x):
    model = UnobservedComponents(x, "local level")
    model.ssm.initialize("diffuse")
    model.ssm.loglikelihood_burn = 0  # exact diffuse initialisation needs none
    return model


CASES = {
    "ar1": (
        partial(c.ar1_path, rho=0.7, mu=0.0),
        lambda x: SARIMAX(x, order=(1, 0, 0)), [0.7, 4.0], p.ar1(0.7, 3, 40, 2.0, seed=1),
    ),
    "ar2": (
        partial(c.ar2_path, phi1=1.2, phi2=-0.5),
        lambda x: SARIMAX(x, order=(2, 0, 0)), [1.2, -0.5, 4.0],
        p.ar2(1.2, -0.5, 3, 40, 2.0, seed=1),
    ),
    "ma1": (
        partial(c.ma1_path, theta=0.6),
        lambda x: SARIMAX(x, order=(0, 0, 1)), [0.6, 4.0], p.ma1(0.6, 3, 40, 2.0, seed=1),
    ),
    "local level": (
        partial(c.local_level_path, level_sd=1.5, noise_sd=2.0),
        diffuse_level, [4.0, 2.25], p.local_level(1.5, 2.0, 3, 40, seed=1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize("case", CASES)
def test_closed_forms_equal_the_kalman_filter(case, horizon):
    path, build, params, values = CASES[case]
    ours = path(values, horizon)
    theirs = c.state_space_path(values, horizon, build, np.array(params))
    assert np.allclose(ours, theirs, rtol=0, atol=1e-8)


@pytest.mark.parametrize("horizon", HORIZONS)
def test_the_filter_equals_the_forecast_method_of_statsmodels(horizon):
    values = p.ar2(0.5, 0.3, 2, 30, 2.0, mu=4.0, seed=2)
    params = np.array([4.0 * 0.2, 0.5, 0.3, 0.4, 4.0])

    def build(x):
        return SARIMAX(x, order=(2, 0, 1), trend="c")

    path = c.state_space_path(values, horizon, build, params)
    for t in (10, 29):
        expected = build(values[1, : t + 1]).smooth(params).forecast(horizon)[-1]
        assert path[1, t] == pytest.approx(expected, abs=1e-8)


PATHS = {name: case[0] for name, case in CASES.items()} | {
    "break": partial(c.break_path, rho_before=0.9, rho_after=0.2, break_at=25, mu_after=6.0),
    "state space": partial(
        c.state_space_path, build=lambda x: SARIMAX(x, order=(1, 0, 1)),
        params=np.array([0.7, 0.3, 4.0]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PATHS)
def test_the_past_of_a_path_ignores_the_future(case):
    path, values = PATHS[case], CASES["ar1"][3]
    changed = values.copy()
    changed[:, 21:] += 100.0
    for h in (1, 2):
        assert np.array_equal(path(values, h)[:, :21], path(changed, h)[:, :21])


@pytest.mark.parametrize(
    ("path", "draw"),
    [
        (partial(c.ar1_path, rho=0.5, mu=3), lambda s: p.ar1(0.5, 40_000, 12, 1.0, 3, seed=s)),
        (partial(c.ma1_path, theta=1.8, mu=3), lambda s: p.ma1(1.8, 40_000, 12, 1.0, 3, seed=s)),
        (
            partial(c.break_path, rho_before=0.9, rho_after=0.2, break_at=10, mu=3, mu_after=6),
            lambda s: p.regime_break(0.9, 0.2, 10, 40_000, 12, 1.0, 3, 6, seed=s),
        ),
    ],
)
@pytest.mark.parametrize("horizon", [1, 3])
def test_errors_are_unforecastable_from_what_was_known(path, draw, horizon):
    x = draw(5)
    error = x[:, 8 + horizon] - path(x, horizon)[:, 8]
    for known in (path(x, horizon)[:, 8], x[:, 8], x[:, 7]):
        covariance = np.cov(error, known)[0, 1]
        assert abs(covariance) < 4 * error.std() * known.std() / 200 + 1e-12  # 200 = sqrt(40 000)
    assert error.mean() == pytest.approx(0, abs=0.05)
