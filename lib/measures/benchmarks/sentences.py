"""Log-likelihoods of whole sentences, in the three ways in which the literature takes them.

The way matters to the fourth digit of every published score, so each benchmark names its own::

                    log p(x_1 ...)          log p(x_k | ...), k >= 2
    bos             given the start token   given the start token and x_<k
    split           given the start token   given x_<k alone, no start token
    unscored        left out                given x_<k alone

``bos`` is lm-evaluation-harness's, ``split`` that of StereoSet's own code (and of Bias-Bench, which
copies it), ``unscored`` what a Hugging Face ``loss`` of the sentence averages.

Which of several answers a model finds likeliest, as multiple-choice benchmarks ask it.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.errors import InvalidValueError
from lib.models.folders import LoadedModel, Tokenizer
from lib.models.likelihood import next_token_logprobs, sequence_logprobs
from lib.models.tree import branch_logprobs

CONDITIONINGS = ("bos", "split", "unscored")


def start_id(tokenizer: Tokenizer) -> int:
    """Token that stands before a text: the tokenizer's begin, else its end token (as GPT-2's)."""
    ids = [i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None]
    if not ids:
        raise InvalidValueError(
            "a tokenizer with a begin or end token", "neither", "set tokenizer.bos_token"
        )
    return ids[0]


def sentence_logprobs(
    model: LoadedModel, sentences: Sequence[str], conditioning: str = "bos"
) -> pd.DataFrame:
    """Log-likelihood of each sentence.

    Parameters
    ----------
    sentences : sequence of str
        Scored as written: no blank is put in front, no end token after.
    conditioning : {"bos", "split", "unscored"}
        See the module's docstring.

    Returns
    -------
    DataFrame
        ``logprob`` (nats, summed over the scored tokens) and ``tokens`` (their number).

    Raises
    ------
    InvalidValueError
        Unknown conditioning, an empty sentence, or one beyond the model's context.
    """
    check_conditioning(conditioning)
    ids = token_ids(model, sentences)
    start = [start_id(model.tokenizer)]
    if conditioning == "bos":
        return sequence_logprobs(model, [start] * len(ids), ids)
    scored = _after_first(model, ids)
    if conditioning == "split" and ids:
        scored["logprob"] += next_token_logprobs(model, [start], [i[0] for i in ids])[0]
        scored["tokens"] += 1
    return scored


def table_logprobs(
    model: LoadedModel, table: pd.DataFrame, conditioning: str = "bos"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Log-likelihoods (nats) and numbers of scored tokens of a table of sentences.

    Both results have the index and columns of ``table``.
    """
    flat = sentence_logprobs(model, table.to_numpy().ravel().tolist(), conditioning)
    shaped = [
        pd.DataFrame(flat[name].to_numpy().reshape(table.shape), table.index, table.columns)
        for name in ("logprob", "tokens")
    ]
    return shaped[0], shaped[1]


def token_ids(model: LoadedModel, sentences: Sequence[str]) -> list[list[int]]:
    """Token ids of each sentence, without any that the tokenizer would add."""
    sentences = list(sentences)
    if not all(sentences):
        raise InvalidValueError("sentences with text", "an empty one", "remove it")
    return model.tokenizer(sentences, add_special_tokens=False)["input_ids"] if sentences else []


def check_conditioning(name: str) -> None:
    """Refuse a conditioning that does not exist."""
    if name not in CONDITIONINGS:
        raise InvalidValueError(
            f"a conditioning among {', '.join(CONDITIONINGS)}", repr(name), "name one of them"
        )


def _after_first(model: LoadedModel, ids: list[list[int]]) -> pd.DataFrame:
    """``sum_{k >= 2} log p(x_k | x_<k)``; zero for a sentence of one token."""
    long = np.array([i for i, sentence in enumerate(ids) if len(sentence) > 1], dtype=int)
    scored = sequence_logprobs(model, [ids[i][:1] for i in long], [ids[i][1:] for i in long])
    result = pd.DataFrame({"logprob": np.zeros(len(ids)), "tokens": np.zeros(len(ids), int)})
    result.iloc[long] = scored
    return result


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
