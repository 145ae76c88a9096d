"""Perplexity of WikiText-2, which says nothing without its text, its unit and its window.

The text is the tokenised version (Merity et al. 2017: ``<unk>``, ``@-@``), not the raw one of most
published perplexities of GPT-2, which are 29.4, 29.9, 30.2 or 37.4 for other texts, units, windows.

Every token is scored once: the first piece of an article after the start token, each later piece
after the last token of the piece before (lm-evaluation-harness with its window less one). No
context passes from one article to the next.
"""

import re

import numpy as np
import pandas as pd

from lib.errors import require
from lib.measures.axis import item_frame
from lib.measures.benchmarks.paired import Sums
from lib.measures.benchmarks.registry import read_text
from lib.models.chat import start_id
from lib.models.folders import LoadedModel
from lib.models.likelihood import sequence_logprobs

WINDOW = 1023
"""Most tokens of a piece, that of GPT-2: a longer context would cost gigabytes of logits."""
UNITS = {"token": "tokens", "word": "words", "byte": "bytes"}
_TITLE = re.compile(r"^ = [^=].* = \n(?= \n)", re.M)
"""One equals sign a side, and an (almost) empty line after it."""


def articles() -> pd.DataFrame:
    """``item``, ``title`` and ``text`` of the 60 test articles; the texts join to the file."""
    whole = read_text("wikitext2", "test.txt")
    heads = list(_TITLE.finditer(whole))
    starts = [0] + [m.start() for m in heads[1:]]
    ends = starts[1:] + [len(whole)]
    return pd.DataFrame({
        "item": [str(i) for i in range(len(heads))],
        "title": [m.group().strip(" =\n") for m in heads],
        "text": [whole[a:b] for a, b in zip(starts, ends, strict=True)],
    })


def score(model: LoadedModel, texts: pd.DataFrame, window: int = WINDOW) -> pd.DataFrame:
    """Item frame with ``nll`` (nats) and the numbers of ``tokens``, ``words``, ``bytes``."""
    require(window > 1, "a window of 2 tokens or more", str(window), "choose another window")
    # The token before a piece stands in the context too.
    window = min(window, model.model.config.max_position_embeddings - 1)
    ids = model.tokenizer(list(texts["text"]), add_special_tokens=False, verbose=False)["input_ids"]
    names = list(texts["item"])
    return item_frame(
        "utility", "wikitext2", names, names, nll=_nats(model, ids, window),
        tokens=[len(text) for text in ids], words=[len(text.split()) for text in texts["text"]],
        bytes=[len(text.encode()) for text in texts["text"]], window=window,
    )


def _nats(model: LoadedModel, ids: list[list[int]], window: int) -> np.ndarray:
    """Minus the log-likelihood of each text."""
    start = start_id(model.tokenizer)
    pieces = [(i, at) for i, text in enumerate(ids) for at in range(0, len(text), window)]
    before = [[ids[i][at - 1] if at else start] for i, at in pieces]
    scored = sequence_logprobs(model, before, [ids[i][at : at + window] for i, at in pieces])
    return np.bincount([i for i, _ in pieces], -scored["logprob"], minlength=len(ids))


def parts(frame: pd.DataFrame) -> pd.DataFrame:
    """Nats, and what they are spread over."""
    return frame[["nll", *UNITS.values()]].astype(float).set_axis(frame["cluster"])


def metrics(sums: Sums) -> dict[str, np.ndarray]:
    """Perplexity per token (for models of one tokenizer), and per word or byte (for any two)."""
    return {f"perplexity_{unit}": np.exp(sums["nll"] / sums[count])
            for unit, count in UNITS.items()}
