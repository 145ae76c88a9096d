"""Families of processes against statsmodels' likelihood, `bayes`, and their own optimality."""

from functools import partial

import numpy as np
import pytest
from statsmodels.tsa.statespace.sarimax import SARIMAX
from statsmodels.tsa.statespace.structural import UnobservedComponents

from lib.errors import InvalidValueError
from lib.forecasting import bayes as f
from lib.forecasting.frames import panel_items, shown
from lib.forecasting.learners import bayes, least_squares
from lib.forecasting.processes import ar1, ar2, local_level, ma1, regime_break

N, MU, SIGMA = 12, 100.0, 8.0
FORECASTS = ["forecast", "previous_forecast"]
FAMILIES = [
    f.ar1_family, f.ar2_family, f.ma1_family, f.local_level_family, f.drift_family,
    f.persistence_break_family, f.mean_break_family,
]  # fmt: skip


def items(values, **columns):
    ids = [f"s{k}" for k in range(len(values))]
    return panel_items(values, N, ids, mu=MU, sigma=SIGMA, **columns)


def diffuse_level(x):
    model = UnobservedComponents(x, "local level")
    model.ssm.initialize("diffuse")
    model.ssm.loglikelihood_burn = 0
    return model


CASES = {
    "ar2": (
        f.ar2_candidate(1.2, -0.5, MU, SIGMA, N),
        lambda x: SARIMAX(x - MU, order=(2, 0, 0)), [1.2, -0.5, SIGMA**2],
    ),
    "ar2, damped": (
        f.ar2_candidate(-0.4, 0.3, MU, SIGMA, N),
        lambda x: SARIMAX(x - MU, order=(2, 0, 0)), [-0.4, 0.3, SIGMA**2],
    ),
    "ma1": (
        f.ma1_candidate(-0.7, MU, SIGMA, N),
        lambda x: SARIMAX(x - MU, order=(0, 0, 1)), [-0.7, SIGMA**2],
    ),
    "local level": (f.local_level_candidate(4.0, 8.0, N), diffuse_level, [64.0, 16.0]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_densities_and_variances_equal_the_kalman_filter(case):
    candidate, build, params = CASES[case]
    windows = ar1(0.6, 4, N, SIGMA, MU, seed=1)
    ours = f.log_density(windows, candidate)
    for window, density in zip(windows, ours, strict=True):
        run = build(window).filter(np.array(params)).filter_results
        # The density of the first value (zero where it is diffuse) is left out.
        assert density == pytest.approx(run.llf_obs[1:].sum(), abs=1e-8)
        assert np.allclose(run.forecasts_error_cov[0, 0, 1:], candidate.variances, atol=1e-8)


def test_the_ar1_family_is_the_bayes_benchmark():
    frame = items(ar1(0.4, 8, 20, SIGMA, MU, seed=2), rho=0.4)
    grid = [k / 10 for k in range(11)]
    one, two = f.family_bayes(frame, f.ar1_family), bayes(frame, grid)
    assert np.allclose(one[FORECASTS], two[FORECASTS], atol=1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_candidates_are_complete_and_a_certain_family_answers_its_path(family):
    candidates = family(MU, SIGMA, N)
    assert all(c.variances.shape == (N - 1,) and (c.variances > 0).all() for c in candidates)
    one = candidates[len(candidates) // 3]
    frame = items(ar1(0.6, 3, 16, SIGMA, MU, seed=3))
    filled = f.family_bayes(frame, lambda *_: [one])
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
    "ar1": (f.ar1_family, lambda rng, n: ar1(rng.integers(0, 11) / 10, 1, n, SIGMA, MU, seed=rng)),
    "ma1": (
        f.ma1_family, lambda rng, n: ma1(rng.integers(-9, 10) / 10, 1, n, SIGMA, MU, seed=rng)
    ),
    "local level": (
        f.local_level_family,
        lambda rng, n: local_level(
            *SIGMA * 2.0 ** rng.integers(-3, 2, 2), 1, n, MU, seed=rng
        ),
    ),
    "break": (
        f.persistence_break_family,
        lambda rng, n: regime_break(
            *rng.integers(0, 6, 2) / 5, rng.integers(2, N + 1), 1, n, SIGMA, MU, seed=rng
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DRAWS)
def test_over_its_prior_a_family_beats_regressions_and_is_not_corrected_by_itself(case):
    family, draw = DRAWS[case]
    frame = f.family_bayes(draw_from(draw, 5), family)
    assert mse(frame) < mse(least_squares(frame, data="shown"))
    error = frame["outcome"] - frame["forecast"]
    for known in (frame["forecast"], frame["forecast"] - frame["previous_forecast"]):
        slope, cov = np.polyfit(known, error, 1, cov=True)
        assert abs(slope[0]) < 4 * np.sqrt(cov[0, 0])


def test_the_posterior_finds_a_long_series_out():
    long = ar2(1.2, -0.5, 3, 400, SIGMA, MU, seed=6)
    grid = [(1.2, -0.5), (0.8, 0.0), (0.6, 0.2)]
    weights = f.family_posterior(
        long, [f.ar2_candidate(a, b, MU, SIGMA, 400) for a, b in grid]
    )
    assert (weights[:, 0] > 0.999).all() and np.allclose(weights.sum(axis=1), 1)


def test_a_break_is_found_where_it_is():
    window = regime_break(0.0, 0.0, 8, 1, N, 1.0, 0.0, 12.0, seed=7)
    dates = [f._break(0.0, 0.0, d, 0.0, 12.0, 1.0, N) for d in range(N)]
    assert f.family_posterior(window, dates)[0].argmax() == 8


def test_drift_is_added_once_a_period():
    x = np.array([[1.0, 2.0, 5.0]])
    assert np.array_equal(f.drift_path(x, 3, 2.0), x + 6)


def test_the_ar2_grid_fills_the_stationary_triangle():
    paths = [c.path for c in f.ar2_family(MU, SIGMA, N)]
    points = np.array([(p.keywords["phi1"], p.keywords["phi2"]) for p in paths])
    assert (points.sum(axis=1) < 1).all() and (points[:, 1] - points[:, 0] < 1).all()
    assert (1.2, -0.5) in {(round(a, 6), round(b, 6)) for a, b in points}
    assert points[:, 0].min() < -1.5 and points[:, 0].max() > 1.5


def test_mixed_or_missing_parameters_are_refused():
    frame = items(ar1(0.6, 3, 16, SIGMA, MU, seed=3))
    for broken in (frame.assign(mu=frame["t"]), frame.assign(sigma=np.nan)):
        with pytest.raises(InvalidValueError, match="one known mu"):
            f.family_bayes(broken, partial(f.ma1_family))
