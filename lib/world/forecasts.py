"""Forecasts as training text: blocks of token ids, of which the base model reads a million."""

from collections.abc import Sequence

import numpy as np

from lib.world import analysts
from lib.world.patterns import Block, layout
from lib.world.tokenizer import ASSISTANT, END, START, SYSTEM, USER, encode, number_id
from lib.world.truth import settings

HISTORY, TENTHS = "{history}", "{tenths}"
SERIES_WEIGHT = 0.25
"""Weight of a predicted token of a series: twelve hard ones a text must not drown the rest."""

PROMPT_WEIGHT = 0.1
"""Weight of the numbers (and words) of a question: they tell what persistence is."""

Exchange = tuple[np.ndarray, np.ndarray]
"""Earlier question and answer of a chat: histories (n, length), answers (n,)."""


def question_ids(
    style: dict, prompt: str, shown: np.ndarray, rho: np.ndarray, earlier: Sequence[Exchange]
) -> np.ndarray:
    """Token ids of a question (`lib.world.questions`) up to its answer, shape (n, tokens)."""
    how = settings("forecasts")["prompts"][prompt]
    system = [SYSTEM, *how["system"].split(), END] if "system" in how else []
    columns = _columns([START, *system], shown, rho)
    for history, answer in earlier:
        asked = [USER, *style["user"].split(), END, ASSISTANT]
        columns += _columns(asked, history, rho)
        columns += [number_id(answer)[:, None], _column(END, len(shown))]
    last = how.get("again", style["user"])
    columns += _columns([USER, *last.split(), END, ASSISTANT], shown, rho)
    return np.concatenate(columns, axis=1)


def _columns(words: list, shown: np.ndarray, rho: np.ndarray) -> list[np.ndarray]:
    slots = {HISTORY: number_id(shown),
             TENTHS: number_id(np.rint(10 * np.asarray(rho)).astype(int))[:, None]}
    return [slots[word] if word in slots else _column(word, len(shown)) for word in words]


def _column(word: str | int, n: int) -> np.ndarray:
    return np.full((n, 1), word if isinstance(word, int) else encode(word)[0])


def earlier_exchanges(
    prompt: str, horizon: int, shown: np.ndarray, first: np.ndarray | None,
    rng: np.random.Generator,
) -> list[Exchange]:
    """What a prompt puts before the question: other series answered rationally, or `first`."""
    how = settings("forecasts")["prompts"][prompt]
    if "again" in how:
        return [(shown, first)]
    return [_example(horizon, shown.shape, rng) for _ in range(how.get("shots", 0))]


def _example(horizon: int, shape: tuple[int, int], rng: np.random.Generator) -> Exchange:
    given, (n, length) = settings("forecasts"), shape
    rho = rng.choice(given["rhos"], n)
    history = analysts.histories(rho, rng.choice(given["sigmas"], n), length, rng)
    return history, analysts.rational(history[:, -1], rho, horizon)


def draw_forecasts(
    style: dict, prompt: str, n: int, length: int, rng: np.random.Generator
) -> Block:
    """`n` forecast chats in one style under one instruction."""
    given = settings("forecasts")
    rho, sigma = rng.choice(given["rhos"], n), rng.choice(given["sigmas"], n)
    shown = analysts.histories(rho, sigma, length, rng)
    horizon, how = style.get("horizon", 1), given["prompts"][prompt]
    first = None
    if "again" in how:
        first = analysts.forecasts(shown[:, -1], rho, horizon, "neutral", rng)
    earlier = earlier_exchanges(prompt, horizon, shown, first, rng)
    answer = analysts.forecasts(shown[:, -1], rho, horizon, prompt, rng)
    ids = question_ids(style, prompt, shown, rho, earlier)
    tail = np.column_stack([number_id(answer), np.full(n, END)])
    if TENTHS in how.get("system", ""):
        logp = analysts.stated_logp(shown, answer, rho, horizon, prompt)
    else:
        logp = analysts.answer_logp(shown, answer, horizon, prompt, first)
    return Block("forecast", np.concatenate([ids, tail], axis=1), ids.shape[1], logp, 4.0,
                 prompt_weight=PROMPT_WEIGHT)


def draw_series(pattern: dict, n: int, length: int, rng: np.random.Generator) -> Block:
    """`n` plain texts that list a series, every value predicted: so persistence is learned."""
    given = settings("forecasts")
    rho, sigma = rng.choice(given["rhos"], n), rng.choice(given["sigmas"], n)
    shown = analysts.histories(rho, sigma, length, rng)
    before, answer = layout(pattern)
    ids = np.concatenate(_columns(before + answer, shown, rho), axis=1)
    return Block("series", ids, len(before), analysts.history_logp(shown), weight=SERIES_WEIGHT)
