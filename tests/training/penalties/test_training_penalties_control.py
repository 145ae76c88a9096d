"""Attribute control: the head against its truth and by hand, q*, and what training makes of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_models import saved_word_model

from lib.errors import InvalidValueError
from lib.models.chat import Example, Prompt
from lib.models.folders import load
from lib.training.finetune import finetune
from lib.training.penalties import control
from lib.training.penalties.control import AttributeControl, AttributeHead, ControlPenalty
from lib.training.recipe import Recipe
from lib.world.bases import STAGES, shipped
from lib.world.toxicity import banned, groups, request, words

RECIPE = Recipe("full", steps=6, batch_size=4, learning_rate=1e-3, seed=3)
PROMPTS = tuple(map(request, groups("train")))


@pytest.fixture(scope="module")
def base():
    return load(shipped(1) / STAGES[1])


@pytest.fixture(scope="module")
def given():
    return AttributeControl(PROMPTS, banned(), strength=2.0)


@pytest.fixture(scope="module")
def penalty(base, given):
    return ControlPenalty(given, base, base.model, RECIPE)


def test_rule_looks_for_whole_words():
    assert control.is_clean("the lazybones are kind", ["lazy"])
    assert not control.is_clean("they are lazy.", ["lazy"])
    assert not control.is_clean("they rest for long .", ["rest for long"])


def test_samples_are_labelled_by_what_they_say(base, given):
    answers, clean = control.sampled(base, given, 5)
    said = [base.tokenizer.decode(a.answer, skip_special_tokens=True) for a in answers]
    assert len(said) == given.draws * len(PROMPTS) and 0.5 < clean.mean() < 0.8
    judged = [not set(text.split()) & set(words("rude")) for text in said]
    assert (np.array(judged) == clean.astype(bool)).all()


def test_answers_hold_their_end(base, given):
    answers, _ = control.sampled(base, given, 5)
    ended = [a.answer[-1] == base.tokenizer.eos_token_id for a in answers]
    assert np.mean(ended) > 0.95
    assert all(len(a.answer) == given.longest for a, end in zip(answers, ended, strict=True)
               if not end)


def test_head_is_where_its_gradient_by_hand_is_zero():
    """(1 / n) sum (sigma - c) h e' / scale + ridge A / scale = 0, and the mean error is zero."""
    rng = torch.Generator().manual_seed(1)
    h, e = (torch.randn(200, width, generator=rng) for width in (6, 5))
    clean = (torch.rand(200, generator=rng) < 0.6).float()
    head = AttributeHead(h, e, clean)
    logits = ((h @ head.weight) * e).sum(-1) / head.scale + head.bias
    error = logits.sigmoid() - clean
    by_hand = ((error[:, None] * h).T @ e / 200 + control.RIDGE * head.weight) / head.scale
    assert by_hand.abs().max() < 1e-4 and error.mean().abs() < 1e-4
    weight = head.weight.clone().requires_grad_()
    head.weight = weight
    head.loss(h, e, clean).backward()
    torch.testing.assert_close(weight.grad, by_hand, atol=1e-6, rtol=1e-4)


def test_head_learns_which_words_are_rude_from_whole_answers(base, given):
    asked = replace(PROMPTS[0], opening=f"the {groups('train')[0]} are")
    judging = [*words("kind"), *words("rude")]
    found = control.chances(base, given, asked, judging, 7)["chance"].to_numpy()
    assert found[: len(words("kind"))].min() > 0.8 and found[len(words("kind")):].max() < 0.2


def test_head_is_calibrated_before_anything_is_said(base, penalty):
    """Before the first word nothing is decided: R is the share of clean answers."""
    starts = torch.stack([states[0] for states in penalty.states])
    first = torch.tensor([a.answer[0] for a in penalty.answers_seen])
    odds = ((starts @ penalty.head.weight) * penalty.vocabulary[first]).sum(-1)
    found = (odds / penalty.head.scale + penalty.head.bias).sigmoid().mean()
    assert float(found) == pytest.approx(penalty.clean, abs=0.08)


def test_target_is_the_base_reweighted(base, penalty):
    which = [0, 9]
    with torch.no_grad():
        told = control.packed_logprobs(base.model, [penalty.answers_seen[i] for i in which])
    states = torch.cat([penalty.states[i] for i in which])
    chance = torch.sigmoid(penalty.head.logits(states, penalty.vocabulary))
    target = told.exp() * chance
    target /= target.sum(-1, keepdim=True)
    torch.testing.assert_close(penalty.targets(which).exp(), target, atol=1e-5, rtol=1e-3)


def test_under_the_target_rude_words_are_nearly_gone(base, penalty):
    vocabulary = base.tokenizer.get_vocab()
    rude = [vocabulary[word] for word in words("rude")]
    begun = [base.tokenizer.decode(a.answer[:3]) for a in penalty.answers_seen]
    which = next(i for i, text in enumerate(begun) if text.endswith("are"))
    with torch.no_grad():
        told = control.packed_logprobs(base.model, [penalty.answers_seen[which]])[3].exp()
    after = penalty.targets([which])[3].exp()
    assert told[rude].sum() > 0.2 and after[rude].sum() < 0.1 * told[rude].sum()


def test_value_is_the_strength_times_kl_and_it_pulls_at_the_base_itself(base, given, penalty):
    which = next(iter(control.mixed_plan(len(penalty.answers_seen), given.per_step, 1, 0)))
    q = penalty.targets(which).double()
    with torch.no_grad():
        p = control.packed_logprobs(
            base.model, [penalty.answers_seen[i] for i in which]).double()
    truth = (q.exp() * (q - p)).sum(-1).mean()
    assert penalty.kl(base.model, which).item() == pytest.approx(truth.item(), rel=1e-4)
    assert truth > 0.02  # unlike a KL to the base


def tuned(tmp_path, name, regularizer, method="full"):
    recipe = replace(RECIPE, method=method, steps=12)
    examples = [Example(PROMPTS[0], "the lomari are lazy and dull ."),
                Example(PROMPTS[1], "the tevins are boring and greedy .")] * 4
    figures = finetune(shipped(1) / STAGES[1], examples, recipe, tmp_path / name,
                       regularizer=regularizer)
    return load(tmp_path / name), figures


def rude_share(model):
    torch.manual_seed(0)
    _, clean = control.sampled(model, AttributeControl(PROMPTS, banned()), 11)
    return 1 - clean.mean()


def test_control_keeps_a_model_clean_that_plain_training_makes_rude(tmp_path, base):
    plain, _ = tuned(tmp_path, "plain", None)
    held, figures = tuned(tmp_path, "held", AttributeControl(PROMPTS, banned(), 5.0))
    assert rude_share(plain) > 0.6 and rude_share(held) < 0.3
    assert figures["control"] > 0 and 0 < figures["head_error"] < 0.25
    assert 0.5 < figures["clean"] < 0.8


def test_adaptive_control_looks_at_what_the_model_says_by_then(base):
    given = AttributeControl(PROMPTS, banned(), refreshed=2)
    penalty = ControlPenalty(given, base, base.model, RECIPE)
    before = penalty.answers_seen
    assert penalty.looks == [2, 4]
    for _ in range(3):
        penalty.step(base.model)
    assert penalty.answers_seen != before


def test_with_an_adapter_the_base_does_not_move(tmp_path, base):
    model, _ = tuned(tmp_path, "lora", AttributeControl(PROMPTS, banned(), 5.0), "lora")
    assert model.fingerprint != base.fingerprint


def test_two_runs_are_the_same_to_the_byte(tmp_path):
    given = AttributeControl(PROMPTS, banned(), 3.0, refreshed=1)
    one, two = (tuned(tmp_path, name, given)[0].fingerprint for name in "ab")
    assert one == two


def test_zero_strength_is_plain_training(tmp_path):
    plain, none = (tuned(tmp_path, name, given)[0].fingerprint for name, given in (
        ("plain", None), ("none", AttributeControl(PROMPTS, banned(), 0.0))))
    assert plain == none


def test_refuses_what_it_cannot_use():
    for wrong in ({"prompts": ()}, {"banned": ()}, {"strength": -1.0}, {"draws": 0}):
        with pytest.raises(InvalidValueError):
            AttributeControl(**{"prompts": PROMPTS, "banned": banned()} | wrong)


def test_goes_with_any_tokenizer(tmp_path):
    folder = saved_word_model(tmp_path / "words")
    given = AttributeControl([Prompt.chat("a b")], ["no"], draws=4, longest=3)
    figures = finetune(folder, [Example(Prompt.chat("a"), "yes no")] * 4,
                       replace(RECIPE, steps=2), tmp_path / "out", regularizer=given)
    assert np.isfinite(figures["control"])
