"""Anchors: which are refused, how they enter a key; and KL to the base on them, by hand."""

import gc
import pickle
from dataclasses import asdict

import numpy as np
import pytest
import torch
from anchored_models import (
    ANCHORS,
    CHAT,
    RECIPE,
    TEXT,
    adapted,
    answer_rows,
    letters,
    move,
    read,
    small_model,
)
from tiny_models import gpt2_model, word_model
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM

from lib.errors import InvalidValueError
from lib.models.chat import Example, Prompt, Tokens
from lib.study.keys import canonical_json
from lib.study.paths import ROOT
from lib.training import adapters
from lib.training import drift as module
from lib.training.drift import AnchorDrift, drops_out
from lib.training.penalties.adaptive import AdaptiveKL
from lib.training.penalties.ewc import EWC
from lib.training.penalties.kl import KL
from lib.training.penalties.l2sp import L2SP
from lib.training.penalties.mixing import Mixing
from lib.training.penalties.projection import Projection
from lib.training.penalties.tokenwise import TokenWise
from lib.training.recipe import Recipe


def kl(base_rows, tuned_rows):
    """sum_v p_base (log p_base - log p_tuned), position by position."""
    return (np.exp(base_rows) * (base_rows - tuned_rows)).sum(1)


def drifted(build, anchors=ANCHORS, per_step=4):
    """The drift of moved weights, and by hand: each anchor's KL in both directions."""
    model = build()
    drift = AnchorDrift(model, anchors, per_step, RECIPE)
    before = [answer_rows(model, a) for a in anchors]
    move(model)
    after = [answer_rows(model, a) for a in anchors]
    forward = [kl(b, a) for b, a in zip(before, after, strict=True)]
    reverse = [kl(a, b) for b, a in zip(before, after, strict=True)]
    return model, drift, np.concatenate(forward), np.concatenate(reverse)


BUILDS = [small_model, lambda: adapted(small_model())]


@pytest.mark.parametrize("build", BUILDS)
def test_drift_is_mean_kl_over_scored_positions(build):
    model, drift, forward, _ = drifted(build)
    assert len(forward) == 2 + 1 + 3 + 5
    assert drift.step(model).item() == pytest.approx(forward.mean(), rel=1e-4)
    assert drift.overall(model) == pytest.approx(forward.mean(), rel=1e-4)


@pytest.mark.parametrize("build", BUILDS)
def test_direction_is_from_the_base(build):
    """KL(base || tuned) and not KL(tuned || base), which `kl_div`'s order of arguments invites."""
    gaps = []
    for anchor in ANCHORS:
        model, drift, forward, reverse = drifted(build, (anchor,))
        assert drift.overall(model) == pytest.approx(forward.mean(), rel=1e-4)
        gaps.append(abs(reverse.mean() / forward.mean() - 1))
    assert max(gaps) > 0.05


def test_forgetting_one_of_two_answers_costs_more_forwards():
    """Why forward: the base says either of two words; the tuned model keeps one of them."""
    base, tuned = np.log([[0.5, 0.5 - 1e-4, 1e-4]]), np.log([[0.98, 1e-2, 1e-2]])
    assert kl(base, tuned)[0] > 2 * kl(tuned, base)[0]


def test_gradient_in_the_head_is_difference_of_probabilities():
    """d KL / d W = mean over positions of (p_tuned - p_base) h'."""
    model = small_model()
    drift = AnchorDrift(model, ANCHORS, len(ANCHORS), RECIPE)
    before = [answer_rows(model, a) for a in ANCHORS]
    move(model)
    total = np.zeros((11, 8))
    for anchor, rows in zip(ANCHORS, before, strict=True):
        ids = torch.tensor([[*anchor.prompt, *anchor.answer]])
        hidden = model.model(input_ids=ids)[0][0, len(anchor.prompt) - 1 : -1].detach().double()
        total += (np.exp(answer_rows(model, anchor)) - np.exp(rows)).T @ hidden.numpy()
    drift.step(model).backward()
    np.testing.assert_allclose(model.lm_head.weight.grad, total / 11, atol=1e-5)


@pytest.mark.parametrize("build", BUILDS)
def test_every_gradient_equals_that_of_the_formula(build):
    model = build()
    drift = AnchorDrift(model, ANCHORS, len(ANCHORS), RECIPE)
    before = [torch.from_numpy(answer_rows(model, a)).float() for a in ANCHORS]
    move(model)
    weights = [w for w in model.parameters() if w.requires_grad]
    ours = torch.autograd.grad(drift.step(model), weights)
    truth = 0.0
    for anchor, rows in zip(ANCHORS, before, strict=True):
        logits = model(input_ids=torch.tensor([[*anchor.prompt, *anchor.answer]])).logits[0]
        logp = logits[len(anchor.prompt) - 1 : -1].log_softmax(-1)
        truth = truth + (rows.exp() * (rows - logp)).sum() / 11
    for mine, theirs in zip(ours, torch.autograd.grad(truth, weights), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("build", BUILDS)
def test_value_and_gradient_are_zero_at_the_base(build):
    model = build()
    loss = AnchorDrift(model, ANCHORS, 4, RECIPE).step(model)
    assert abs(loss.item()) < 1e-6
    gradients = torch.autograd.grad(loss, [w for w in model.parameters() if w.requires_grad])
    assert max(g.abs().max().item() for g in gradients) < 1e-6


def test_first_answer_token_is_included():
    """An answer of one token is scored at all only if the first one is."""
    anchor = Tokens((1, 5, 7), (2,))
    model, drift, forward, _ = drifted(small_model, (anchor,))
    assert forward.shape == (1,) and forward[0] > 0.01
    assert drift.overall(model) == pytest.approx(forward[0], rel=1e-4)


def test_plain_text_is_scored_everywhere_and_chats_on_answers_only():
    """A text counts but for its bos token; in a chat a prompt that drifts does not count."""
    model, drift, forward, _ = drifted(small_model, tuple(TEXT))
    assert len(forward) == 5
    assert drift.overall(model) == pytest.approx(forward.mean(), rel=1e-4)
    chat, plain = CHAT[0], Tokens(CHAT[0].prompt[:1], (*CHAT[0].prompt[1:], *CHAT[0].answer))
    model, drift, answers, _ = drifted(small_model, (chat,))
    _, _, everything, _ = drifted(small_model, (plain,))
    np.testing.assert_allclose(everything[2:], answers)
    assert drift.overall(model) == pytest.approx(answers.mean(), rel=1e-4)


def test_steps_of_a_pass_cover_each_anchor_once():
    model = small_model()
    alike = tuple(Tokens((1, i), (i, 3)) for i in range(2, 8))  # equal numbers of positions
    drift = AnchorDrift(model, alike, 2, RECIPE)
    move(model)
    assert len({round(drift.step(model).item(), 6) for _ in range(3)}) == 3
    drift = AnchorDrift(small_model(), alike, 2, RECIPE)
    steps = [drift.step(model).item() for _ in range(6)]
    assert np.mean(steps[:3]) == pytest.approx(drift.overall(model), rel=1e-4)
    assert np.mean(steps[3:]) == pytest.approx(drift.overall(model), rel=1e-4)


def test_fewer_anchors_than_a_step_takes_are_all_used():
    model, drift, forward, _ = drifted(small_model, per_step=50)
    assert drift.step(model).item() == pytest.approx(forward.mean(), rel=1e-4)


def test_adapter_switched_off_serves_as_the_reference(monkeypatch):
    """Where log-probabilities do not fit, the same weights give them; values are the same."""
    stored = drifted(BUILDS[1])
    monkeypatch.setattr(module, "CACHE_BYTES", 0)
    model, drift, forward, _ = drifted(BUILDS[1])
    assert drift._reference is None
    assert drift.step(model).item() == pytest.approx(stored[1].step(stored[0]).item(), rel=1e-4)
    assert drift.overall(model) == pytest.approx(forward.mean(), rel=1e-4)


def test_full_run_with_too_many_positions_says_how_many_fit(monkeypatch):
    monkeypatch.setattr(module, "CACHE_BYTES", 4 * 11 * 7)
    with pytest.raises(InvalidValueError, match="at most 7 scored .* Found 11"):
        AnchorDrift(small_model(), ANCHORS, 4, RECIPE)


def test_dropout_neither_makes_drift_nor_uses_random_numbers():
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=11, n_layer=1, n_embd=8, n_head=2,
                                       n_positions=16, initializer_range=0.3))
    drift = AnchorDrift(model.eval(), ANCHORS, 4, RECIPE)
    state = torch.get_rng_state()
    assert abs(drift.step(model.train()).item()) < 1e-6
    assert model.training and torch.equal(state, torch.get_rng_state())


def test_there_is_no_second_model():
    def alive():
        gc.collect()
        return sum(type(thing) is LlamaForCausalLM for thing in gc.get_objects())

    model = small_model()
    before = alive()
    drift = AnchorDrift(model, ANCHORS, 4, RECIPE)
    drift.step(model)
    assert alive() == before


def test_an_anchor_given_three_times_weighs_threefold_and_is_stored_once():
    anchors = (ANCHORS[0], ANCHORS[1], ANCHORS[0], ANCHORS[0])
    model, drift, forward, _ = drifted(small_model, anchors)
    assert drift.overall(model) == pytest.approx(forward.mean(), rel=1e-4)
    assert drift.step(model).item() == pytest.approx(forward.mean(), rel=1e-4)
    assert len(drift._reference) == 2


def test_an_architecture_that_does_not_part_packed_anchors_is_refused():
    """Such as one that counts positions itself, whatever it is told."""
    model = small_model()
    told = model.forward
    model.forward = lambda position_ids=None, **inputs: told(**inputs)
    with pytest.raises(InvalidValueError, match="packed row.* a llama, which drifts"):
        AnchorDrift(model, ANCHORS, 4, RECIPE)


ANCHORED = [KL, AdaptiveKL, EWC, Mixing]
EVERY = [*(kind(letters()) for kind in ANCHORED), L2SP(), TokenWise(), Projection(ROOT / "models")]


@pytest.mark.parametrize("kind", ANCHORED)
def test_no_anchors_are_refused(kind):
    with pytest.raises(InvalidValueError, match="at least one anchor.*protects nothing"):
        kind([])


@pytest.mark.parametrize("regularizer", EVERY, ids=lambda r: type(r).__name__)
def test_a_regulariser_travels_and_enters_a_key(regularizer):
    twin = pickle.loads(pickle.dumps(regularizer))
    assert twin == regularizer and hash(twin) == hash(regularizer) and twin is not regularizer
    key = canonical_json(asdict(regularizer), ROOT)
    assert key == canonical_json(asdict(twin), ROOT)
    assert not hasattr(regularizer, "anchors") or '"answer":"no h"' in key


@pytest.mark.parametrize("kind", ANCHORED)
@pytest.mark.parametrize(
    "anchor, found",
    [(Example(Prompt.chat("a"), "", ends=False), "an empty one in anchor 1"),
     (Example(Prompt.chat("a"), "no " * 127), "131 in anchor 1")],
)
def test_anchors_that_cannot_be_scored_or_read_are_refused(kind, anchor, found):
    with pytest.raises(InvalidValueError, match=found):
        kind([*letters(1), anchor]).encoded(word_model())


def test_anchors_become_the_models_own_tokens_and_all_else_stays():
    made = AdaptiveKL(letters(), budget=0.5, per_step=3).encoded(word_model())
    assert made == AdaptiveKL(read(letters()), budget=0.5, per_step=3)
    assert hash(made) == hash(AdaptiveKL(tuple(read(letters())), budget=0.5, per_step=3))


def test_running_text_is_scored_from_its_first_word():
    loaded = word_model()
    (anchor,) = KL([Example(Prompt(), "the a is 3", ends=False)]).encoded(loaded).anchors
    assert list(anchor.prompt) == [loaded.tokenizer.eos_token_id] and len(anchor.answer) == 4


def test_different_strengths_have_different_keys():
    keys = {canonical_json(asdict(KL(letters(), strength)), ROOT) for strength in (0.0, 1.0, 2.0)}
    assert len(keys) == 3


@pytest.mark.parametrize(
    "make, found",
    [
        (lambda: KL(CHAT, -1.0), "strength.*Found -1"),
        (lambda: KL(CHAT, float("nan")), "strength.*Found nan"),
        (lambda: KL(CHAT, per_step=0), "per_step.*Found 0"),
        (lambda: AdaptiveKL(CHAT, budget=0.0), "budget.*Found 0"),
        (lambda: AdaptiveKL(CHAT, rate=-1.0), "rate.*Found -1"),
        (lambda: AdaptiveKL(CHAT, initial=-0.1), "initial.*Found -0.1"),
        (lambda: AdaptiveKL(CHAT, memory=1.1), "memory.*Found 1.1"),
        (lambda: EWC(CHAT, float("inf")), "strength.*Found inf"),
        (lambda: Mixing(CHAT, -1.0), "strength.*Found -1"),
        (lambda: Mixing(CHAT, per_step=0), "per_step.*Found 0"),
        (lambda: L2SP(-1.0), "strength.*Found -1"),
        (lambda: TokenWise(()), "at least one strength"),
        (lambda: TokenWise((0.5, -2.0)), "beta.*Found -2"),
        (lambda: Projection(ROOT, 1.5), "threshold.*Found 1.5"),
    ],
)
def test_values_out_of_range_are_refused(make, found):
    with pytest.raises(InvalidValueError, match=found):
        make()


def test_dropout_is_found_in_layers_configurations_and_adapters():
    plain = small_model()
    assert not drops_out(plain)
    rates = dict(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, summary_first_dropout=0.0)
    size = dict(n_layer=1, n_embd=8, n_head=2, vocab_size=11, bos_token_id=1, eos_token_id=1)
    assert not drops_out(GPT2LMHeadModel(GPT2Config(**size, **rates)))
    assert drops_out(GPT2LMHeadModel(GPT2Config(**size, **rates | {"attn_pdrop": 0.1})))
    assert not drops_out(adapted(plain)) and drops_out(adapted(plain, lora_dropout=0.1))
    attention_only = small_model()
    attention_only.config.attention_dropout = 0.1
    assert drops_out(attention_only)


@pytest.mark.parametrize("method", ["lora", "norms", "positions", "prompt"])
@pytest.mark.parametrize("stored", [True, False])
def test_no_fresh_adapter_has_drifted_whatever_drops_out(method, stored, monkeypatch):
    """GPT-2 drops out by a tenth. With the adapter switched off both passes are the same sums, so
    the drift is zero to the last bit; stored ones come from batches, and differ by rounding."""
    if not stored:
        monkeypatch.setattr(module, "CACHE_BYTES", 0)
    loaded = gpt2_model()
    recipe = Recipe(method, targets=("c_attn",), steps=2, batch_size=2)
    loaded.tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
    loaded.model.resize_token_embeddings(len(loaded.tokenizer))
    model = adapters.adapted(loaded, recipe)
    anchors = KL(letters(6)).encoded(loaded).anchors
    drift = AnchorDrift(model.eval(), anchors, 6, recipe)
    found = drift.step(model.train()).item()
    assert drops_out(model) and (abs(found) < 1e-6 if stored else found == 0)
