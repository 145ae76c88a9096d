"""Planted analysts: persistence by regression, floors by enumeration and by a naive loop."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import norm

from lib.forecasting.frames import ar1_items
from lib.world.analysts import answer_logp, forecasts, histories, imitation, posterior
from lib.world.truth import NUMBERS, planted_rho_s, settings

GIVEN = settings("forecasts")
PROMPTS = list(GIVEN["prompts"])


def drawn(rho, n, length=12, sigma=8.0, seed=0):
    rng = np.random.default_rng(seed)
    return histories(np.full(n, rho), np.full(n, sigma), length, rng), rng


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8])
def test_histories_have_their_persistence_and_spread(rho):
    shown, _ = drawn(rho, 4000)
    x = shown - GIVEN["mu"]
    fit = sm.OLS(x[:, -1], sm.add_constant(x[:, -2])).fit()
    assert abs(fit.params[1] - rho) < 4 * fit.bse[1]
    assert x.std() == pytest.approx(8 / np.sqrt(1 - rho**2), rel=0.04)


def test_histories_are_integers_on_the_scale():
    shown, _ = drawn(1.0, 200, length=60, sigma=30.0)
    assert shown.dtype.kind == "i"
    assert shown.min() >= GIVEN["low"] and shown.max() <= GIVEN["high"]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize(("rho", "horizon"), [(0.0, 1), (0.4, 1), (0.8, 1), (0.5, 2)])
def test_regression_recovers_the_planted_persistence(prompt, rho, horizon):
    shown, rng = drawn(rho, 3000)
    last = shown[:, -1]
    answer = forecasts(last, np.full(3000, rho), horizon, prompt, rng)
    fit = sm.OLS(answer - GIVEN["mu"], sm.add_constant(last - GIVEN["mu"])).fit()
    assert abs(fit.params[1] - planted_rho_s(rho, prompt) ** horizon) < 4 * fit.bse[1]
    assert fit.mse_resid == pytest.approx(GIVEN["noise"] ** 2 + 1 / 12, rel=0.12)


def test_posterior_is_that_of_a_naive_loop():
    shown, _ = drawn(0.6, 3, length=5)
    found = np.exp(posterior(shown))
    for row in range(3):
        x, like = shown[row] - GIVEN["mu"], {}
        for i, rho in enumerate(GIVEN["rhos"]):
            for j, sigma in enumerate(GIVEN["sigmas"]):
                p = norm.pdf(x[0], 0, sigma / np.sqrt(1 - min(rho, 0.9) ** 2))
                for t in range(1, 5):
                    p *= norm.pdf(x[t], rho * x[t - 1], sigma)
                like[i, j] = p
        total = sum(like.values())
        for place, p in like.items():
            assert found[row][place] == pytest.approx(p / total)


def test_posterior_finds_the_truth_of_long_histories():
    shown, _ = drawn(0.8, 40, length=90)
    mean = (np.exp(posterior(shown)).sum(2) * np.array(GIVEN["rhos"])).sum(1)
    assert mean.mean() == pytest.approx(0.8, abs=0.05)


def every_answer(shown, horizon, prompt):
    return np.column_stack(
        [answer_logp(shown, np.full(len(shown), n), horizon, prompt) for n in NUMBERS]
    )


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("horizon", [1, 2])
def test_answers_sum_to_one(prompt, horizon):
    shown, _ = drawn(0.5, 5)
    assert np.exp(every_answer(shown, horizon, prompt)).sum(1) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize(
    ("column", "history", "horizon"),
    [("forecast", "history", 1), ("previous_forecast", "previous_history", 2)],
)
def test_perfect_imitator_answers_the_mean_of_the_floors_distribution(
    prompt, column, history, horizon
):
    items = ar1_items([0.2, 0.8], 3, 2, 6, 8.0, seed=1)
    shown = np.stack(items[history]).astype(int)
    mean = np.exp(every_answer(shown, horizon, prompt)) @ np.array(NUMBERS)
    # Rounding to integers moves the mean of so wide a distribution by less than this.
    assert imitation(items, prompt)[column].to_numpy() == pytest.approx(mean, abs=1e-3)
