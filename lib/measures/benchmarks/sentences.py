"""Log-likelihoods of whole sentences, and of answers to choose from.

Sentences are taken in the three ways of the literature. The way matters to the fourth digit of
every published score, so each benchmark names its own::

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

from lib.errors import require
from lib.models.chat import start_id
from lib.models.folders import LoadedModel
from lib.models.likelihood import next_token_logprobs, sequence_logprobs
from lib.models.tree import branch_logprobs

CONDITIONINGS = ("bos", "split", "unscored")


def sentence_logprobs(
    model: LoadedModel, sentences: Sequence[str], conditioning: str = "bos"
) -> pd.DataFrame:
    """``logprob`` (nats, summed over the scored tokens) and ``tokens`` of sentences as written."""
    require(conditioning in CONDITIONINGS, f"a conditioning among {', '.join(CONDITIONINGS)}",
            repr(conditioning), "name one of them")
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
    """Log-likelihoods (nats) and numbers of scored tokens of a table of sentences, in its shape."""
    flat = sentence_logprobs(model, table.to_numpy().ravel().tolist(), conditioning)
    both = (flat[name].to_numpy().reshape(table.shape) for name in ("logprob", "tokens"))
    return tuple(pd.DataFrame(values, table.index, table.columns) for values in both)


def token_ids(model: LoadedModel, sentences: Sequence[str]) -> list[list[int]]:
    """Token ids of each sentence, without any that the tokenizer would add."""
    sentences = list(sentences)
    require(all(sentences), "sentences with text", "an empty one", "remove it")
    return model.tokenizer(sentences, add_special_tokens=False)["input_ids"] if sentences else []


def _after_first(model: LoadedModel, ids: list[list[int]]) -> pd.DataFrame:
    """``sum_{k >= 2} log p(x_k | x_<k)``; zero for a sentence of one token."""
    long = np.array([i for i, sentence in enumerate(ids) if len(sentence) > 1], dtype=int)
    scored = sequence_logprobs(model, [ids[i][:1] for i in long], [ids[i][1:] for i in long])
    result = pd.DataFrame({"logprob": np.zeros(len(ids)), "tokens": np.zeros(len(ids), int)})
    result.iloc[long] = scored
    return result


def choice_logprobs(
    model: LoadedModel, prompts: Sequence[str], choices: Sequence[Sequence[str]],
    shared: Sequence[str] = (),
) -> np.ndarray:
    """``log p(" " + choice | prompt)``, nats: a row a prompt, own choices before shared ones."""
    width = len(choices[0]) if len(choices) else 0
    if not len(prompts):
        return np.empty((0, width + len(shared)))
    ids = _encode(model, prompts)
    own = [_after(model, prompt, row, len(i))
           for prompt, row, i in zip(prompts, choices, ids, strict=True)]
    # All prompts end alike where choices are shared: they are the same tokens after each.
    common = _after(model, prompts[0], shared, len(ids[0]))
    return np.array(branch_logprobs(model, ids, [row + common for row in own]))


def _after(
    model: LoadedModel, prompt: str, choices: Sequence[str], length: int
) -> list[tuple[int, ...]]:
    """Tokens of each choice, beyond the ``length`` of the prompt, as lm-evaluation-harness does."""
    # Prompt and choice are one text; right wherever no token spans the boundary.
    return [tuple(ids[length:]) for ids in _encode(model, [f"{prompt} {c}" for c in choices])]


def _encode(model: LoadedModel, texts: Sequence[str]) -> list[list[int]]:
    return model.tokenizer(list(texts))["input_ids"] if len(texts) else []
