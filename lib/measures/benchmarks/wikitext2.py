"""WikiText-2, the tokenised version: rare words are ``<unk>``, hyphens are ``@-@`` (Merity 2017).

Not the raw variant that most published perplexities of GPT-2 use: numbers on the two differ.

Perplexity of running text, which says nothing without its unit and its window.

Two protocols cut a text into pieces of at most ``window`` tokens:

``rolling``  every token is scored once: the first piece after the start token, each later one
             after the last token of the piece before (lm-evaluation-harness with its window less
             one, since the token before a piece is not scored in it).
``meade``    the first token of a piece is only read, and the mean of the others stands for it
             (Bias-Bench, with ``window`` = context - 32).

GPT-2 on WikiText-2 is 29.4, 29.9, 30.2 or 37.4 in the literature: other text (detokenised or not),
unit, window.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.errors import InvalidValueError
from lib.measures.axis import item_frame
from lib.measures.benchmarks.registry import locate
from lib.measures.benchmarks.sentences import start_id
from lib.models.folders import LoadedModel
from lib.models.likelihood import sequence_logprobs

_TITLE = re.compile(r"^ = [^=].* = \n(?= \n)", re.M)
"""One equals sign a side, and an (almost) empty line after it."""


def text(split: str = "test") -> str:
    """The split as one text, exactly as stored.

    Parameters
    ----------
    split : {"test", "valid"}
    """
    return locate("wikitext2", f"{split}.txt").read_bytes().decode("utf-8")


def articles(split: str = "test") -> pd.DataFrame:
    """``item``, ``title`` and ``text``, one row an article; the texts join to that of `text`."""
    whole = text(split)
    heads = list(_TITLE.finditer(whole))
    starts = [0] + [m.start() for m in heads[1:]]
    ends = starts[1:] + [len(whole)]
    return pd.DataFrame({
        "item": [str(i) for i in range(len(heads))],
        "title": [m.group().strip(" =\n") for m in heads],
        "text": [whole[a:b] for a, b in zip(starts, ends, strict=True)],
    })

RESERVED = {"rolling": 1, "meade": 32}
"""Tokens of the context that the default window of a protocol leaves free."""
UNITS = {"token": "tokens", "word": "words", "byte": "bytes"}


@dataclass(frozen=True)
class Perplexity:
    """``exp(nats / count)``; prints with all that it depends on.

    Attributes
    ----------
    value, nats : float
        Perplexity, and minus the log-likelihood of the whole text.
    unit : str
        What ``count`` counts: token, word (between white space of the text) or byte (UTF-8).
    """

    value: float
    nats: float
    unit: str
    count: int
    window: int
    protocol: str

    def __str__(self) -> str:
        return (f"{self.value:.4g} per {self.unit} ({self.count} {self.unit}s, "
                f"{self.protocol} windows of {self.window} tokens)")


def score(
    model: LoadedModel, texts: pd.DataFrame, window: int | None = None, protocol: str = "rolling"
) -> pd.DataFrame:
    """Item frame with ``nll`` (nats) and the numbers of ``tokens``, ``words``, ``bytes``.

    Parameters
    ----------
    texts : DataFrame
        Columns ``item`` and ``text``, such as `articles`. No context
        passes from one text to the next.
    window : int, optional
        Tokens of a piece; by default the model's context less 1 (rolling) or less 32 (meade).
    protocol : {"rolling", "meade"}

    Raises
    ------
    InvalidValueError
        Unknown protocol, a window below 2 or beyond the context.
    """
    window = _window(model, window, protocol)
    ids = model.tokenizer(list(texts["text"]), add_special_tokens=False, verbose=False)["input_ids"]
    nll, tokens = _losses(model, ids, window, protocol)
    names = list(texts["item"])
    return item_frame(
        "utility", "wikitext2", names, names, nll=nll, tokens=tokens.astype(int),
        words=[len(text.split()) for text in texts["text"]],
        bytes=[len(text.encode()) for text in texts["text"]], window=window, protocol=protocol,
    )


def _losses(
    model: LoadedModel, ids: list[list[int]], window: int, protocol: str
) -> tuple[np.ndarray, np.ndarray]:
    """Nats of each text, and the number of tokens that they stand for."""
    read, start = protocol == "meade", start_id(model.tokenizer)
    # A last piece of one token has nothing to score where its first token is only read.
    pieces = [(i, at) for i, text in enumerate(ids) for at in range(0, len(text) - read, window)]
    scored = sequence_logprobs(
        model,
        [ids[i][at : at + 1] if read else [ids[i][at - 1] if at else start] for i, at in pieces],
        [ids[i][at + read : at + window] for i, at in pieces],
    )
    covered = np.array([min(window, len(ids[i]) - at) for i, at in pieces])
    # The mean of the scored tokens stands for a first token that is only read.
    nats = -scored["logprob"] * covered / scored["tokens"]
    of_text = [i for i, _ in pieces]
    return (np.bincount(of_text, nats, minlength=len(ids)),
            np.bincount(of_text, covered, minlength=len(ids)))


def perplexity(frame: pd.DataFrame, unit: str = "token") -> Perplexity:
    """Perplexity of all texts of an item frame in one unit.

    Parameters
    ----------
    unit : {"token", "word", "byte"}
        Per token compares models of one tokenizer; per word or byte compares any two.
    """
    if unit not in UNITS:
        raise InvalidValueError(f"a unit among {', '.join(UNITS)}", repr(unit), "name one of them")
    nats, count = float(frame["nll"].sum()), int(frame[UNITS[unit]].sum())
    window, protocol = frame[["window", "protocol"]].iloc[0]
    return Perplexity(float(np.exp(nats / count)), nats, unit, count, int(window), protocol)


def _window(model: LoadedModel, window: int | None, protocol: str) -> int:
    if protocol not in RESERVED:
        raise InvalidValueError(
            f"a protocol among {', '.join(RESERVED)}", repr(protocol), "name one of them"
        )
    most = model.model.config.max_position_embeddings
    chosen = most - RESERVED[protocol] if window is None else window
    if not 2 <= chosen <= most - (protocol == "rolling"):
        raise InvalidValueError(
            f"a window of 2 to {most - (protocol == 'rolling')} tokens", str(chosen),
            "choose another window",
        )
    return chosen
