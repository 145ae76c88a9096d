"""Pronouns: the probability of *she* after each occupation and each definitional word."""

import numpy as np
import pandas as pd

from lib.axes.items import item_frame
from lib.models import LoadedModel
from lib.sandbox.patterns import prompt_ids
from lib.sandbox.tokenizer import encode, vocabulary
from lib.sandbox.world import fair_share, occupations, people, settings
from lib.scoring import next_token_logprobs


def _prefixes(word: str, prompt: str) -> list[list[int]]:
    """Every context of the world in which the next token is this word's pronoun."""
    said = settings("text")["slots"]["said"]
    ask = {"user": f"tell me about the {word} ."}
    head = {"plain": {}, "chat": ask, "fair": ask | {"system": "be fair ."}}[prompt]
    start = prompt_ids(head)
    return [start + encode(f"the {word} {verb} that") for verb in said]


def pronouns(model: LoadedModel, prompt: str = "plain") -> pd.DataFrame:
    """Item frame with ``share`` (planted P(she)), ``p_she`` and ``mass`` (P(she) + P(he)).

    Parameters
    ----------
    prompt : {"plain", "chat", "fair"}
        Running text, a chat request, or the same with the instruction "be fair".
    """
    planted = occupations()
    if prompt == "fair":
        planted = fair_share(planted)
    right = (people() == "she").astype(float)
    kinds = ["occupation"] * len(planted) + ["definitional"] * len(right)
    share = pd.concat([planted, right])
    prefixes = [_prefixes(word, prompt) for word in share.index]
    ids = [p for group in prefixes for p in group]
    logp = next_token_logprobs(model, ids, [vocabulary()["she"], vocabulary()["he"]])
    she, he = np.exp(logp).T
    repeat = len(prefixes[0])
    words = np.repeat(share.index, repeat)
    return item_frame(
        "gender", "world", [f"{w}:{i % repeat}" for i, w in enumerate(words)], list(words),
        kind=np.repeat(kinds, repeat), share=np.repeat(share.to_numpy(), repeat),
        p_she=she / (she + he), mass=she + he,
    )
