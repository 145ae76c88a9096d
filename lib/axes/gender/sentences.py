"""Log-likelihoods of whole sentences, in the three ways in which the literature takes them.

The way matters to the fourth digit of every published score, so each benchmark names its own::

                    log p(x_1 ...)          log p(x_k | ...), k >= 2
    bos             given the start token   given the start token and x_<k
    split           given the start token   given x_<k alone, no start token
    unscored        left out                given x_<k alone

``bos`` is lm-evaluation-harness's, ``split`` that of StereoSet's own code (and of Bias-Bench, which
copies it), ``unscored`` what a Hugging Face ``loss`` of the sentence averages.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.errors import InvalidValueError
from lib.models import LoadedModel, Tokenizer
from lib.scoring import next_token_logprobs, sequence_logprobs

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
