"""A small real model, and its plain forward pass: independent truth for scores of sentences."""

from functools import cache

import numpy as np
import tiny_models
import torch

from lib.models.folders import LoadedModel, load


@cache
def _load(folder: str) -> LoadedModel:
    return load(folder)


def stories() -> LoadedModel:
    """The 260 k parameter story model of the mirror; skips without it."""
    return _load(str(tiny_models.mirror("stories260K")))


@torch.no_grad()
def token_logprobs(model: LoadedModel, ids: list[int]) -> np.ndarray:
    """``log p(ids[k] | ids[:k])`` for k >= 1, from one unbatched forward pass in float64."""
    table = model.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return table[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0].numpy()


def sentence_tokens(model: LoadedModel, text: str, how: str) -> np.ndarray:
    """Log-probabilities of a sentence's tokens, written out for each of the three ways."""
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    start = model.tokenizer.bos_token_id
    if how == "bos":
        return token_logprobs(model, [start, *ids])
    rest = token_logprobs(model, ids)
    return rest if how == "unscored" else np.r_[token_logprobs(model, [start, ids[0]]), rest]


def answer_sum(model: LoadedModel, prompt: str, answer: str) -> float:
    """Sum over the tokens of `answer` after `prompt`, both tokenised as one text."""
    before, whole = (model.tokenizer(text)["input_ids"] for text in (prompt, prompt + answer))
    return float(token_logprobs(model, whole)[len(before) - 1 :].sum())
