"""Which of several answers a model finds likeliest, as multiple-choice benchmarks ask it."""

from collections.abc import Sequence

import numpy as np

from lib.models import LoadedModel
from lib.scoring import sequence_logprobs
from lib.scoring.tree import tree_logprobs


def choice_logprobs(
    model: LoadedModel, prompts: Sequence[str], choices: Sequence[Sequence[str]]
) -> np.ndarray:
    """``log p(" " + choice | prompt)``, in nats, summed over the choice's tokens.

    Parameters
    ----------
    choices : sequence of sequences of str
        As many for each prompt.

    Returns
    -------
    ndarray of float, shape (prompts, choices)

    Notes
    -----
    Prompt and choice are tokenised as one text, with what the tokenizer adds by itself; the
    choice's tokens are those beyond the prompt's own number. This is lm-evaluation-harness's
    rule, and right wherever no token spans the boundary.
    """
    width = len(choices[0]) if len(choices) else 0
    texts = [f"{p} {c}" for p, row in zip(prompts, choices, strict=True) for c in row]
    lengths = np.repeat([len(ids) for ids in _encode(model, prompts)], width)
    whole = _encode(model, texts)
    scored = sequence_logprobs(
        model,
        [ids[:n] for ids, n in zip(whole, lengths, strict=True)],
        [ids[n:] for ids, n in zip(whole, lengths, strict=True)],
    )
    return scored["logprob"].to_numpy().reshape(len(prompts), width)


def shared_choice_logprobs(
    model: LoadedModel, prompts: Sequence[str], choices: Sequence[str]
) -> np.ndarray:
    """The same for choices that follow every prompt: each prompt is read once for all of them.

    All prompts must end in the same characters, such as ``A:``, so that the choices are the same
    tokens after each.

    Returns
    -------
    ndarray of float, shape (prompts, choices)
    """
    if not len(prompts):
        return np.empty((0, len(choices)))
    ids = _encode(model, prompts)
    after = _encode(model, [f"{prompts[0]} {choice}" for choice in choices])
    return tree_logprobs(model, ids, [tuple(a[len(ids[0]) :]) for a in after], banned=())


def _encode(model: LoadedModel, texts: Sequence[str]) -> list[list[int]]:
    return model.tokenizer(list(texts))["input_ids"] if len(texts) else []
