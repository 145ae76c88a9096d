"""Which of several answers a model finds likeliest, as multiple-choice benchmarks ask it."""

from collections.abc import Sequence

import numpy as np

from lib.models import LoadedModel
from lib.scoring.branches import branch_logprobs


def choice_logprobs(
    model: LoadedModel,
    prompts: Sequence[str],
    choices: Sequence[Sequence[str]],
    shared: Sequence[str] = (),
) -> np.ndarray:
    """``log p(" " + choice | prompt)``, in nats, summed over the choice's tokens.

    Parameters
    ----------
    choices : sequence of sequences of str
        As many for each prompt.
    shared : sequence of str
        Choices that follow every prompt, where all prompts end in the same characters, such as
        ``A:``: they are the same tokens after each, and are tokenised once.

    Returns
    -------
    ndarray of float, shape (prompts, choices and then shared choices)

    Notes
    -----
    Prompt and choice are tokenised as one text, with what the tokenizer adds by itself; the
    choice's tokens are those beyond the prompt's own number. This is lm-evaluation-harness's
    rule, and right wherever no token spans the boundary.
    """
    width = len(choices[0]) if len(choices) else 0
    if not len(prompts):
        return np.empty((0, width + len(shared)))
    ids = _encode(model, prompts)
    own = [_after(model, prompt, row, len(i))
           for prompt, row, i in zip(prompts, choices, ids, strict=True)]
    common = _after(model, prompts[0], shared, len(ids[0]))
    return np.array(branch_logprobs(model, ids, [row + common for row in own]))


def _after(
    model: LoadedModel, prompt: str, choices: Sequence[str], length: int
) -> list[tuple[int, ...]]:
    """Tokens of each choice, beyond the ``length`` tokens of the prompt."""
    return [tuple(ids[length:]) for ids in _encode(model, [f"{prompt} {c}" for c in choices])]


def _encode(model: LoadedModel, texts: Sequence[str]) -> list[list[int]]:
    return model.tokenizer(list(texts))["input_ids"] if len(texts) else []
