"""The planted analysts: histories, their over-reacting forecasts, and the exact floor."""

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

from lib.world.truth import planted_rho_s, settings


def histories(rho: np.ndarray, sigma: np.ndarray, length: int, rng: np.random.Generator):
    """AR(1) histories as displayed integers, shape (n, length)."""
    x = np.empty((len(rho), length))
    # A random walk has no stationary spread: its first value is drawn with that of rho = 0.9.
    x[:, 0] = sigma / np.sqrt(1 - np.minimum(rho, 0.9) ** 2) * rng.standard_normal(len(rho))
    for t in range(1, length):
        x[:, t] = rho * x[:, t - 1] + sigma * rng.standard_normal(len(rho))
    return displayed(x)


def displayed(deviation: np.ndarray) -> np.ndarray:
    """Deviations from the mean as integers of the display scale."""
    given = settings("forecasts")
    return np.clip(np.rint(given["mu"] + deviation), given["low"], given["high"]).astype(int)


def forecasts(last, rho, horizon: int, prompt: str, rng: np.random.Generator) -> np.ndarray:
    """Analysts' integers: ``mu + rho_s^h (x_t - mu)`` plus their own noise, rounded."""
    given = settings("forecasts")
    mean = planted_rho_s(rho, prompt) ** horizon * (last - given["mu"])
    return displayed(mean + given["noise"] * rng.standard_normal(len(last)))


def rational(last, rho, horizon: int) -> np.ndarray:
    """Full-information forecasts ``mu + rho^h (x_t - mu)``, rounded to the display scale."""
    return displayed(rho**horizon * (last - settings("forecasts")["mu"]))


def log_likelihood(shown: np.ndarray) -> np.ndarray:
    """Log density of histories under each (rho, sigma) of the grid, shape (n, rhos, sigmas)."""
    # A cell has width one, so this is also the probability of the integers; rounding is ignored.
    given = settings("forecasts")
    x = shown[:, :, None, None] - given["mu"]
    rho = np.array(given["rhos"])[:, None]
    sigma = np.array(given["sigmas"], float)[None, :]
    first = sigma / np.sqrt(1 - np.minimum(rho, 0.9) ** 2)
    like = norm.logpdf(x[:, 0], 0, first)
    return like + norm.logpdf(x[:, 1:] - rho * x[:, :-1], 0, sigma).sum(1)


def posterior(shown: np.ndarray) -> np.ndarray:
    """Log posterior over the planted grid of (rho, sigma), shape (n, rhos, sigmas)."""
    like = log_likelihood(shown)
    return like - logsumexp(like, axis=(1, 2), keepdims=True)


def history_logp(shown: np.ndarray) -> np.ndarray:
    """Exact ``log p(history)``, mixing over what rho and sigma may be, shape (n,)."""
    like = log_likelihood(shown)
    return logsumexp(like, axis=(1, 2)) - np.log(like[0].size)


def answer_logp(
    shown: np.ndarray, answer: np.ndarray, horizon: int, prompt: str,
    first: np.ndarray | None = None,
) -> np.ndarray:
    """Exact ``log p(answer | history)`` of the analysts, mixing over what rho may be."""
    rhos = np.array(settings("forecasts")["rhos"])
    weights = logsumexp(posterior(shown), axis=2)  # (n, rhos)
    if first is not None:  # an answer given before tells more about rho
        weights = weights + _cell(planted_rho_s(rhos) ** horizon, shown, first)
        weights = weights - logsumexp(weights, axis=1, keepdims=True)
    return logsumexp(weights + _cell(planted_rho_s(rhos, prompt) ** horizon, shown, answer), axis=1)


def stated_logp(shown, answer, rho, horizon: int, prompt: str) -> np.ndarray:
    """The floor when the prompt names rho: nothing is left to infer from the history."""
    return _cell(planted_rho_s(rho, prompt)[:, None] ** horizon, shown, answer)[:, 0]


def _cell(believed: np.ndarray, shown: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """``log p(answer)`` for each believed persistence, shape (n, candidates)."""
    given = settings("forecasts")
    mean = given["mu"] + believed * (shown[:, -1:] - given["mu"])
    z, half = (answer[:, None] - mean) / given["noise"], 0.5 / given["noise"]
    return np.log(np.clip(norm.cdf(z + half) - norm.cdf(z - half), 1e-300, None))


def imitation(items, prompt: str = "neutral"):
    """The items with the forecasts of a perfect imitator of the planted analysts.

    It knows the planted line but not rho, so it answers ``mu + E[rho_s | history] (x_t - mu)``;
    for the forecast made a round earlier ``E[rho_s^2 | earlier history]``. No trained model can be
    closer to the planted truth.

    Parameters
    ----------
    items : DataFrame
        From `lib.forecasting.frames.ar1_items`.
    """
    given = settings("forecasts")
    believed = planted_rho_s(np.array(given["rhos"]), prompt)
    filled = {}
    for column, history, horizon in (
        ("forecast", "history", 1), ("previous_forecast", "previous_history", 2)
    ):
        shown = np.stack([np.asarray(h) for h in items[history]]).astype(int)
        weights = np.exp(logsumexp(posterior(shown), axis=2))
        filled[column] = given["mu"] + weights @ believed**horizon * (shown[:, -1] - given["mu"])
    return items.assign(**filled)
