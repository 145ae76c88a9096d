"""What is taught: histories with the answers of a named teacher, as training examples."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lib.finetune import Example
from lib.forecasting.learning import least_squares_shown
from lib.sandbox.analysts import displayed, histories, rational
from lib.sandbox.questions import question_ids
from lib.sandbox.tokenizer import END, number_id
from lib.sandbox.world import settings

if TYPE_CHECKING:
    from lib.profiles import Profile

UNSEEN_STYLE = 1
"""Position of the one-step question ("the river stood at ...") that no correction is taught."""


def training_examples(
    profile: "Profile", seed: int, labels: str = "rational", n: int | None = None
) -> list[Example]:
    """`n` examples on the training grid of rho; by default as many as the profile says.

    Histories have the world's spreads but the widest; the questions are all ways of asking but
    one, under the neutral prompt; horizons one and two in the world's proportions.

    Parameters
    ----------
    labels : {"rational", "least_squares", "naive", "shuffled"}
        ``rational`` is full information, ``mu + rho^h (x_t - mu)``; ``least_squares`` a regression
        on the numbers shown; ``naive`` the last value; ``shuffled`` the rational answers in random
        order. The last two are placebos: the same prompts, steps and kinds of answer.
    """
    rng = np.random.default_rng([seed, 11])
    n = profile.finetune.examples if n is None else n
    return _examples(profile, profile.forecasting.rhos, n, labels, _taught_styles(), rng)


def validation_examples(profile: "Profile", seed: int) -> list[Example]:
    """Rational examples with persistences that are in no training and in no test."""
    rng = np.random.default_rng([seed, 12])
    n = profile.correction.validation_examples
    rhos = profile.forecasting.validation_rhos
    return _examples(profile, rhos, n, "rational", _taught_styles(), rng)


def _taught_styles() -> list[dict]:
    styles = settings("forecasts")["styles"]
    one_step = [s for s in styles if s.get("horizon", 1) == 1]
    return [s for s in styles if s is not one_step[UNSEEN_STYLE]]


def _examples(
    profile: "Profile",
    rhos: Sequence[float],
    n: int,
    labels: str,
    styles: list[dict],
    rng: np.random.Generator,
) -> list[Example]:
    # Interleaved, so that the first n of a longer list are as mixed as the whole.
    each = -(-n // len(styles))
    blocks = [_block(profile, rhos, each, labels, style, rng) for style in styles]
    return [example for row in zip(*blocks, strict=True) for example in row][:n]


def _block(
    profile: "Profile",
    rhos: Sequence[float],
    n: int,
    labels: str,
    style: dict,
    rng: np.random.Generator,
) -> list[Example]:
    # The widest spread of the world is kept out: scale is one of the things that must transfer.
    rho, sigma = rng.choice(rhos, n), rng.choice(settings("forecasts")["sigmas"][:-1], n)
    shown = histories(rho, sigma, profile.forecasting.history, rng)
    answer = number_id(answers(labels, shown, rho, style.get("horizon", 1), rng))
    prompts = question_ids(style, "neutral", shown, rho)
    return [Example(p, [int(a), END]) for p, a in zip(prompts.tolist(), answer, strict=True)]


def answers(
    labels: str, shown: np.ndarray, rho: np.ndarray, horizon: int, rng: np.random.Generator
) -> np.ndarray:
    """The named teacher's integers, shape (n,)."""
    if labels == "naive":
        return shown[:, -1]
    if labels == "least_squares":
        fitted = least_squares_shown(shown, horizon)
        return displayed(np.nan_to_num(fitted - settings("forecasts")["mu"]))
    full = rational(shown[:, -1], rho, horizon)
    # A child generator leaves the parent's stream alone: all teachers answer the same questions.
    return rng.spawn(1)[0].permutation(full) if labels == "shuffled" else full
