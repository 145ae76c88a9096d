"""Gradients word by word, against those of one-word answers by the training loss."""

import pytest
import torch
import world_models

from lib.chapters.attacks import attack_examples
from lib.models.chat import Tokens, tokenised
from lib.models.folders import load
from lib.training.batching import collate
from lib.training.gradients import word_gradients
from lib.training.objective import answer_loss


def one_word(examples, t):
    """The same examples, of whose answers only word `t` counts."""
    return [Tokens((*e.prompt, *e.answer[:t]), (e.answer[t],)) for e in examples]


def test_loss_and_norm_are_those_of_each_word_alone():
    examples = attack_examples("explicit", 3, 1)
    folder = world_models.tiny_base()
    found = word_gradients(load(folder), examples).set_index("position")
    loaded = load(folder)
    model, examples = loaded.model, tokenised(loaded.tokenizer, examples)
    assert list(found.index) == list(range(1, 1 + min(len(e.answer) for e in examples)))
    weights = [p.requires_grad_() for p in model.parameters()]
    for t in (0, 4, len(found) - 1):
        loss = answer_loss(model, **collate(one_word(examples, t)))
        whole = torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)])
        assert found.loc[t + 1, "token_loss"] == pytest.approx(loss.item(), rel=1e-4)
        assert found.loc[t + 1, "gradient_norm"] == pytest.approx(whole.norm().item(), rel=1e-3)
