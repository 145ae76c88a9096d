"""Losses: of answer tokens alone, as transformers has them, whatever the company in a row."""

import os

import pytest
import torch
from anchored_models import countdown, read
from tiny_models import gpt2_model, word_model

from lib.models.chat import Tokens, tokenised
from lib.models.likelihood import example_logprobs
from lib.training.batching import collate
from lib.training.objective import answer_logits, answer_loss, packed_logprobs, scored_logprobs

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.mark.parametrize("build", [word_model, gpt2_model])
def test_loss_is_mean_negative_logprob_of_answers(build):
    model, examples = build(), countdown(9)
    batch = collate(tokenised(model.tokenizer, examples))
    frame = example_logprobs(model, examples)
    truth = -frame["logprob"].sum() / frame["tokens"].sum()
    assert answer_loss(model.model, **batch).item() == pytest.approx(truth, rel=1e-5)


def test_loss_equals_that_of_transformers():
    """The model's own loss: right padding, full logits, an attention mask."""
    model, batch = word_model().model, collate(read(countdown(9)))
    mask = (batch["input_ids"] != 0).long()
    truth = model(**batch, attention_mask=mask).loss
    torch.testing.assert_close(answer_loss(model, **batch), truth)


def test_logits_begin_with_the_one_of_the_first_answer_token():
    model, example = word_model().model, Tokens([5, 6, 7], [8, 9])
    logits, targets = answer_logits(model, **collate([example]))
    everything = model(torch.tensor([[5, 6, 7, 8, 9]])).logits
    assert targets.tolist() == [[8, 9]]
    torch.testing.assert_close(logits, everything[:, 2:4])


@pytest.mark.parametrize("build", [word_model, gpt2_model])
def test_company_in_a_packed_row_changes_nothing(build):
    """Values and gradients are those of examples that go through the model one by one."""
    model = build().model
    examples = [*read(countdown(7)), Tokens([9], [8]), Tokens([8] * 20, [7] * 9)]
    ids = [torch.tensor([[*e.prompt, *e.answer]]) for e in examples]
    alone = torch.cat([model(row).logits[0, len(e.prompt) - 1 : -1].log_softmax(-1)
                       for row, e in zip(ids, examples, strict=True)])
    packed = packed_logprobs(model, examples)
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-5)
    weights, some = list(model.parameters()), torch.randn(packed.shape)
    for ours, truth in zip(torch.autograd.grad((packed * some).sum(), weights),
                           torch.autograd.grad((alone * some).sum(), weights), strict=True):
        assert (ours - truth).norm() <= 1e-4 * truth.norm() + 1e-4


def test_scored_logprobs_come_for_each_example_whatever_its_company():
    model, examples = word_model().model, read(countdown(9))
    found = dict(scored_logprobs(model, examples))
    assert sorted(found) == list(range(9))
    for i, example in enumerate(examples):
        ids = torch.tensor([[*example.prompt, *example.answer]])
        alone = model(ids).logits[0, len(example.prompt) - 1 : -1].log_softmax(-1)
        torch.testing.assert_close(found[i], alone, atol=1e-5, rtol=1e-5)
        assert not found[i].requires_grad
