"""How hard each word of an answer pulls at the weights."""

from collections.abc import Sequence

import pandas as pd
import torch

from lib.models.chat import Example, tokenised
from lib.models.folders import LoadedModel
from lib.training.objective import packed_logprobs

METRICS = ("token_loss", "gradient_norm")


def word_gradients(loaded: LoadedModel, examples: Sequence[Example]) -> pd.DataFrame:
    """A row a position that all answers have: position (from 1), token_loss, gradient_norm."""
    model, taught = loaded.model, tokenised(loaded.tokenizer, examples)
    weights = [p.requires_grad_() for p in model.parameters()]
    answers = [example.answer for example in taught]
    lines = packed_logprobs(model, taught).split([len(answer) for answer in answers])
    shortest = min(map(len, answers))
    said = torch.stack([line[range(shortest), answer[:shortest]]
                        for line, answer in zip(lines, answers, strict=True)])
    found = []
    for t, loss in enumerate(-said.mean(0), start=1):
        parts = torch.autograd.grad(loss, weights, retain_graph=True)
        norm = torch.stack([part.norm() for part in parts]).norm()
        found.append((t, loss.item(), norm.item()))
    return pd.DataFrame(found, columns=["position", *METRICS])
