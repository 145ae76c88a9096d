"""The planted analysts: histories, their over-reacting forecasts, and the exact floor."""

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

from lib.sandbox.patterns import Block, layout
from lib.sandbox.tokenizer import END, encode, number_id
from lib.sandbox.world import planted_rho_s, settings

HISTORY = "{history}"


def histories(rho: np.ndarray, sigma: np.ndarray, length: int, rng: np.random.Generator):
    """AR(1) histories as displayed integers, shape (n, length).

    A random walk has no stationary spread: its first value is drawn with that of rho = 0.9.
    """
    given = settings("forecasts")
    x = np.empty((len(rho), length))
    x[:, 0] = sigma / np.sqrt(1 - np.minimum(rho, 0.9) ** 2) * rng.standard_normal(len(rho))
    for t in range(1, length):
        x[:, t] = rho * x[:, t - 1] + sigma * rng.standard_normal(len(rho))
    return np.clip(np.rint(given["mu"] + x), given["low"], given["high"]).astype(int)


def forecasts(last, rho, horizon: int, prompt: str, rng: np.random.Generator) -> np.ndarray:
    """Analysts' integers: ``mu + rho_s^h (x_t - mu)`` plus their own noise, rounded."""
    given = settings("forecasts")
    mean = given["mu"] + planted_rho_s(rho, prompt) ** horizon * (last - given["mu"])
    noisy = mean + given["noise"] * rng.standard_normal(len(last))
    return np.clip(np.rint(noisy), given["low"], given["high"]).astype(int)


def posterior(shown: np.ndarray) -> np.ndarray:
    """Log posterior over the planted grid of (rho, sigma), shape (n, rhos, sigmas).

    Rounding of the displayed values is ignored; their sd is some twenty times as large.
    """
    given = settings("forecasts")
    x = shown[:, :, None, None] - given["mu"]
    rho = np.array(given["rhos"])[:, None]
    sigma = np.array(given["sigmas"], float)[None, :]
    first = sigma / np.sqrt(1 - np.minimum(rho, 0.9) ** 2)
    like = norm.logpdf(x[:, 0], 0, first)
    like = like + norm.logpdf(x[:, 1:] - rho * x[:, :-1], 0, sigma).sum(1)
    return like - logsumexp(like, axis=(1, 2), keepdims=True)


def answer_logp(shown: np.ndarray, answer: np.ndarray, horizon: int, prompt: str) -> np.ndarray:
    """Exact ``log p(answer | history)`` of the analysts, mixing over what rho may be."""
    given = settings("forecasts")
    weights = logsumexp(posterior(shown), axis=2)  # (n, rhos)
    believed = planted_rho_s(np.array(given["rhos"]), prompt) ** horizon
    mean = given["mu"] + believed * (shown[:, -1:] - given["mu"])
    z = (answer[:, None] - mean) / given["noise"]
    half = 0.5 / given["noise"]
    cell = np.log(np.clip(norm.cdf(z + half) - norm.cdf(z - half), 1e-300, None))
    return logsumexp(weights + cell, axis=1)


def draw_forecasts(
    style: dict, prompt: str, n: int, length: int, rng: np.random.Generator
) -> Block:
    """`n` forecast chats in one style under one instruction."""
    given = settings("forecasts")
    rho, sigma = rng.choice(given["rhos"], n), rng.choice(given["sigmas"], n)
    shown = histories(rho, sigma, length, rng)
    horizon = style.get("horizon", 1)
    answer = forecasts(shown[:, -1], rho, horizon, prompt, rng)
    ids, start = chat_matrix(style, prompt, shown, rho)
    tail = np.column_stack([number_id(answer), np.full(n, END)])
    logp = answer_logp(shown, answer, horizon, prompt)
    if "{tenths}" in given["prompts"][prompt].get("system", ""):
        logp = _stated_logp(shown, answer, rho, horizon, prompt)
    return Block("forecast", np.concatenate([ids, tail], axis=1), start, logp, weight=4.0)


def _stated_logp(shown, answer, rho, horizon: int, prompt: str) -> np.ndarray:
    """The floor when the prompt names rho: nothing is left to infer from the history."""
    given = settings("forecasts")
    mean = given["mu"] + planted_rho_s(rho, prompt) ** horizon * (shown[:, -1] - given["mu"])
    edges = (np.array([-0.5, 0.5])[:, None] + answer - mean) / given["noise"]
    return np.log(np.clip(norm.cdf(edges[1]) - norm.cdf(edges[0]), 1e-300, None))


def chat_matrix(style: dict, prompt: str, shown: np.ndarray, rho: np.ndarray):
    """Prompt ids, shape (n, length), and where the answer starts."""
    system = settings("forecasts")["prompts"][prompt].get("system")
    pattern = {"user": style["user"], "answer": ""} | ({"system": system} if system else {})
    before, _ = layout(pattern)
    tenths = np.rint(10 * np.asarray(rho)).astype(int)
    columns = []
    for word in before:
        if word == HISTORY:
            columns.append(number_id(shown))
        elif word == "{tenths}":
            columns.append(number_id(tenths)[:, None])
        else:
            one = word if isinstance(word, int) else encode(word)[0]
            columns.append(np.full((len(shown), 1), one))
    ids = np.concatenate(columns, axis=1)
    return ids, ids.shape[1]


def imitation(items, prompt: str = "neutral"):
    """The items with the forecasts of a perfect imitator of the planted analysts.

    It knows the planted line but not rho, so it answers ``mu + E[rho_s | history] (x_t - mu)``;
    for the forecast made a round earlier ``E[rho_s^2 | earlier history]``. A trained model can be
    no closer to the planted truth than this row.

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
