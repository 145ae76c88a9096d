"""The exact distribution of the integer that a model is about to write.

No sampling: every integer of a range is scored. Where each is one token (the sandbox), one
forward pass does. Real tokenizers cut numbers into pieces; there, all pieces of all integers
form a prefix tree that is scored in one pass after the prompt (`lib.models.tree`).

Conventions
-----------
Spelling   an integer is spelt as the tokenizer would in running text, in one canonical way.
           A space comes first unless the prompt ends in white space, a special token or an
           opening mark; so none after ``assistant\\n``, one after ``The next value is``.
End        ``12`` means that no further digit follows: ``p(12) = p("12") (1 - p(digit | "12"))``.
           Anything else ends the number, so that ``12.5`` and ``12,000`` count as 12.
           In a word-level vocabulary no token extends another, and the factor is one.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.errors import require
from lib.models.batches import check_prompts
from lib.models.chat import Prompts, encoded, parted
from lib.models.folders import LoadedModel, Tokenizer
from lib.models.likelihood import next_token_logprobs
from lib.models.tree import digit_ids, tree_logprobs


def number_distribution(
    model: LoadedModel, prompts: Prompts, low: int, high: int
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the integers ``low..high`` as the next thing after each prompt.

    Parameters
    ----------
    prompts : sequence of Prompt, or of token ids
    low, high : int
        Range, both ends included.

    Returns
    -------
    probs : ndarray of float, shape (prompts, high - low + 1)
        Renormalised over the range; rows sum to one.
    mass : ndarray of float, shape (prompts,)
        Probability of the range before renormalising; low mass means that the model is about
        to write something else, and that its number should not be trusted.

    Raises
    ------
    InvalidValueError
        An empty range, an empty or overlong prompt, an integer that the vocabulary cannot spell.
    """
    require(low <= high, "low <= high", f"{low} > {high}", "swap the two")
    prompts = encoded(model.tokenizer, prompts)
    check_prompts(model, prompts)
    spaced = np.array([starts_with_space(model.tokenizer, prompt) for prompt in prompts], bool)
    logprobs = np.empty((len(prompts), high - low + 1))
    for space in np.unique(spaced):
        rows = np.flatnonzero(spaced == space)
        spellings = [spell(model.tokenizer, n, bool(space)) for n in range(low, high + 1)]
        logprobs[rows] = _spelling_logprobs(model, [prompts[i] for i in rows], spellings)
    probs = np.exp(logprobs)
    mass = probs.sum(axis=1)
    shifted = np.exp(logprobs - logprobs.max(axis=1, keepdims=True))  # survives a tiny mass
    return shifted / shifted.sum(axis=1, keepdims=True), mass


def predictive_mean(model: LoadedModel, prompts: Prompts, low: int, high: int) -> pd.DataFrame:
    """One row a prompt: ``mean = sum_n n p(n)`` and ``sd`` of the next integer, and its ``mass``.

    ``p`` and ``mass`` are those of `number_distribution`.
    """
    probs, mass = number_distribution(model, prompts, low, high)
    values = np.arange(low, high + 1)
    mean = probs @ values
    sd = np.sqrt((probs * (values - mean[:, None]) ** 2).sum(axis=1))
    return pd.DataFrame({"mean": mean, "sd": sd, "mass": mass})


def starts_with_space(tokenizer: Tokenizer, prompt: Sequence[int]) -> bool:
    """Whether a number that follows the prompt is written with a space before it."""
    if prompt[-1] in tokenizer.all_special_ids:
        return False
    return parted(tokenizer.decode(prompt[-8:], clean_up_tokenization_spaces=False))


def spell(tokenizer: Tokenizer, number: int, space: bool) -> tuple[int, ...]:
    """Token ids of an integer inside running text; refuses one that the vocabulary lacks."""
    # Behind an anchor: alone, some tokenizers would add a space of their own.
    anchor, text = ("a", f"a {number}") if space else ("\n", f"\n{number}")
    head = tokenizer(anchor, add_special_tokens=False)["input_ids"]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    tail = tuple(ids[len(head) :])
    require(tail and ids[: len(head)] == head and tokenizer.unk_token_id not in tail,
            "a vocabulary that can spell every integer of the range", f"no spelling of {number}",
            "narrow the range to the numbers that the tokenizer knows")
    return tail


def _spelling_logprobs(
    model: LoadedModel, prompts: list[Sequence[int]], spellings: list[tuple[int, ...]]
) -> np.ndarray:
    """Log-probabilities, shape (prompts, spellings); one pass if every spelling is a token."""
    digits = digit_ids(model.tokenizer, spellings[-1][-1])
    if not digits and all(len(spelling) == 1 for spelling in spellings):
        return next_token_logprobs(model, prompts, [spelling[0] for spelling in spellings])
    return tree_logprobs(model, prompts, spellings, digits)
