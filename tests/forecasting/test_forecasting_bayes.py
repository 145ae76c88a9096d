"""Paths and densities against statsmodels' state-space filter, and their own optimality."""

from functools import partial

import numpy as np
import pytest
from statsmodels.tsa.statespace.sarimax import SARIMAX
from statsmodels.tsa.statespace.structural import UnobservedComponents

from lib.errors import InvalidValueError
from lib.forecasting import bayes as c
from lib.forecasting import processes as p
from lib.forecasting.frames import panel_items, shown
from lib.forecasting.learners import bayes, least_squares
from lib.forecasting.processes import ar1, ar2, local_level, ma1, regime_break

HORIZONS = [1, 2, 5]
N, MU, SIGMA = 12, 100.0, 8.0
FORECASTS = ["forecast", "previous_forecast"]
FAMILIES = [
    c.ar1_family, c.ar2_family, c.ma1_family, c.local_level_family, c.drift_family,
    c.persistence_break_family, c.mean_break_family,
]


def diffuse_level(x):
    model = UnobservedComponents(x, "local level")
    model.ssm.initialize("diffuse")
    model.ssm.loglikelihood_burn = 0  # exact diffuse initialisation needs none
    return model


PATH_CASES = {
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
}


def filtered(values, horizon, build, params):
    """Forecasts of a state-space model at known parameters: ``d + Z T^{h-1} a_{t+1|t}``."""
    forecast = np.empty(values.shape)
    for i, series in enumerate(values):
        run = build(series.astype(float)).filter(params).filter_results
        state = run.predicted_state[:, 1:]
        for _ in range(horizon - 1):
            state = run.transition[:, :, 0] @ state + run.state_intercept[:, -1:]
        forecast[i] = (run.design[:, :, 0] @ state + run.obs_intercept[:, -1:])[0]
    return forecast


@pytest.mark.parametrize("horizon", HORIZONS)
@pytest.mark.parametrize("case", PATH_CASES)
def test_closed_forms_equal_the_kalman_filter(case, horizon):
    path, build, params, values = PATH_CASES[case]
    ours = path(values, horizon)
    theirs = filtered(values, horizon, build, np.array(params))
    assert np.allclose(ours, theirs, rtol=1e-9, atol=1e-9 * np.abs(values).max())


PATHS = {name: case[0] for name, case in PATH_CASES.items()} | {
    "break": partial(c.break_path, rho_before=0.9, rho_after=0.2, break_at=25, mu_after=6.0),
}


@pytest.mark.parametrize("case", PATHS)
def test_the_past_of_a_path_ignores_the_future(case):
    path, values = PATHS[case], PATH_CASES["ar1"][3]
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


# Families.


def items(values, **columns):
    ids = [f"s{k}" for k in range(len(values))]
    return panel_items(values, N, ids, mu=MU, sigma=SIGMA, **columns)


DENSITY_CASES = {
    "ar2": (
        c.ar2_candidate(1.2, -0.5, MU, SIGMA, N),
        lambda x: SARIMAX(x - MU, order=(2, 0, 0)), [1.2, -0.5, SIGMA**2],
    ),
    "ar2, damped": (
        c.ar2_candidate(-0.4, 0.3, MU, SIGMA, N),
        lambda x: SARIMAX(x - MU, order=(2, 0, 0)), [-0.4, 0.3, SIGMA**2],
    ),
    "ma1": (
        c.ma1_candidate(-0.7, MU, SIGMA, N),
        lambda x: SARIMAX(x - MU, order=(0, 0, 1)), [-0.7, SIGMA**2],
    ),
    "local level": (c.local_level_candidate(4.0, 8.0, N), diffuse_level, [64.0, 16.0]),
}


@pytest.mark.parametrize("case", DENSITY_CASES)
def test_densities_and_variances_equal_the_kalman_filter(case):
    candidate, build, params = DENSITY_CASES[case]
    windows = ar1(0.6, 4, N, SIGMA, MU, seed=1)
    ours = c.log_density(windows, candidate)
    for window, density in zip(windows, ours, strict=True):
        run = build(window).filter(np.array(params)).filter_results
        # The density of the first value (zero where it is diffuse) is left out.
        assert density == pytest.approx(run.llf_obs[1:].sum(), rel=1e-9)
        assert np.allclose(run.forecasts_error_cov[0, 0, 1:], candidate.variances)


def test_the_ar1_family_is_the_bayes_benchmark():
    frame = items(ar1(0.4, 8, 20, SIGMA, MU, seed=2), rho=0.4)
    grid = [k / 10 for k in range(11)]
    one, two = c.family_bayes(frame, c.ar1_family), bayes(frame, grid)
    assert np.allclose(one[FORECASTS], two[FORECASTS])


@pytest.mark.parametrize("family", FAMILIES)
def test_candidates_are_complete_and_a_certain_family_answers_its_path(family):
    candidates = family(MU, SIGMA, N)
    assert all(k.variances.shape == (N - 1,) and (k.variances > 0).all() for k in candidates)
    one = candidates[len(candidates) // 3]
    frame = items(ar1(0.6, 3, 16, SIGMA, MU, seed=3))
    filled = c.family_bayes(frame, lambda *_: [one])
    assert np.allclose(filled["forecast"], one.path(shown(frame), 1)[:, -1])
    earlier = one.path(shown(frame, "previous_history"), 2)[:, -1]
    assert np.allclose(filled["previous_forecast"], earlier)


def mse(frame):
    return float(((frame["outcome"] - frame["forecast"]) ** 2).mean())


def draw_from(family_draw, seed, series=600, rounds=1):
    """One series from each of many parameters drawn from the prior of the family."""
    rng = np.random.default_rng(seed)
    return items(np.concatenate([family_draw(rng, N + rounds + 1) for _ in range(series)]))


DRAWS = {
    "ar1": (c.ar1_family, lambda rng, n: ar1(rng.integers(0, 11) / 10, 1, n, SIGMA, MU, seed=rng)),
    "ma1": (
        c.ma1_family, lambda rng, n: ma1(rng.integers(-9, 10) / 10, 1, n, SIGMA, MU, seed=rng)
    ),
    "local level": (
        c.local_level_family,
        lambda rng, n: local_level(
            *SIGMA * 2.0 ** rng.integers(-3, 2, 2), 1, n, MU, seed=rng
        ),
    ),
    "break": (
        c.persistence_break_family,
        lambda rng, n: regime_break(
            *rng.integers(0, 6, 2) / 5, rng.integers(2, N + 1), 1, n, SIGMA, MU, seed=rng
        ),
    ),
}


@pytest.mark.parametrize("case", DRAWS)
def test_over_its_prior_a_family_beats_regressions_and_is_not_corrected_by_itself(case):
    family, draw = DRAWS[case]
    frame = c.family_bayes(draw_from(draw, 5), family)
    assert mse(frame) < mse(least_squares(frame, data="shown"))
    error = frame["outcome"] - frame["forecast"]
    for known in (frame["forecast"], frame["forecast"] - frame["previous_forecast"]):
        slope, cov = np.polyfit(known, error, 1, cov=True)
        assert abs(slope[0]) < 4 * np.sqrt(cov[0, 0])


def test_the_posterior_finds_a_long_series_out():
    long = ar2(1.2, -0.5, 3, 400, SIGMA, MU, seed=6)
    grid = [(1.2, -0.5), (0.8, 0.0), (0.6, 0.2)]
    weights = c.family_posterior(
        long, [c.ar2_candidate(a, b, MU, SIGMA, 400) for a, b in grid]
    )
    assert (weights[:, 0] > 0.999).all() and np.allclose(weights.sum(axis=1), 1)


def test_a_break_is_found_where_it_is():
    window = regime_break(0.0, 0.0, 8, 1, N, 1.0, 0.0, 12.0, seed=7)
    dates = [c._break(0.0, 0.0, d, 0.0, 12.0, 1.0, N) for d in range(N)]
    assert c.family_posterior(window, dates)[0].argmax() == 8


def test_drift_is_added_once_a_period():
    x = np.array([[1.0, 2.0, 5.0]])
    assert np.array_equal(c.drift_path(x, 3, 2.0), x + 6)


def test_the_ar2_grid_fills_the_stationary_triangle():
    paths = [k.path for k in c.ar2_family(MU, SIGMA, N)]
    points = np.array([(p.keywords["phi1"], p.keywords["phi2"]) for p in paths])
    assert (points.sum(axis=1) < 1).all() and (points[:, 1] - points[:, 0] < 1).all()
    assert (1.2, -0.5) in {(round(a, 6), round(b, 6)) for a, b in points}
    assert points[:, 0].min() < -1.5 and points[:, 0].max() > 1.5


def test_mixed_or_missing_parameters_are_refused():
    frame = items(ar1(0.6, 3, 16, SIGMA, MU, seed=3))
    for broken in (frame.assign(mu=frame["t"]), frame.assign(sigma=np.nan)):
        with pytest.raises(InvalidValueError, match="one known mu"):
            c.family_bayes(broken, partial(c.ma1_family))
