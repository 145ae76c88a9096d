"""L2-SP: penalty and gradient by hand, full and through LoRA."""

import copy

import numpy as np
import pytest
import torch
from anchored_models import RECIPE, adapted, move, small_model

from lib.training.penalties.l2sp import L2SP, Displacement


def test_full_penalty_and_gradient_by_hand():
    """strength / 2 * ||theta - theta_0||^2, and strength * (theta - theta_0)."""
    model = small_model()
    start = copy.deepcopy(model.state_dict())
    penalty = L2SP(3.0).start(model, [], RECIPE)
    move(model)
    moved = {n: p.detach() - start[n] for n, p in model.named_parameters()}
    squared = sum(float((d.double() ** 2).sum()) for d in moved.values())
    value = penalty.step(model)
    value.backward()
    assert value.item() == pytest.approx(1.5 * squared, rel=1e-5)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight.grad, 3.0 * moved[name])
    assert penalty.finish(model) == {"distance": pytest.approx(np.sqrt(squared), rel=1e-5)}


def factors(model):
    """(A, B) of each adapted matrix."""
    named = dict(model.named_parameters())
    return [(named[n], named[n.replace("lora_A", "lora_B")]) for n in named if "lora_A" in n]


def test_lora_penalty_and_gradient_by_hand():
    """s = alpha / rank = 3: s^2 tr((B'B)(AA')), with gradients s^2 BAA' and s^2 B'BA."""
    model = move(adapted(small_model()))
    penalty = L2SP(2.0).start(model, [], RECIPE)
    pairs = factors(model)
    assert len(pairs) == 2
    truth = sum(9 * torch.trace((b.T @ b) @ (a @ a.T)).item() for a, b in pairs)
    value = penalty.step(model)
    value.backward()
    assert value.item() == pytest.approx(truth, rel=1e-5)
    for a, b in pairs:
        torch.testing.assert_close(b.grad, 2 * 9 * (b @ a @ a.T).detach())
        torch.testing.assert_close(a.grad, 2 * 9 * (b.T @ b @ a).detach())
    assert penalty.finish(model)["distance"] == pytest.approx(np.sqrt(truth), rel=1e-5)


@pytest.mark.parametrize("build", [small_model, lambda: adapted(small_model())])
def test_value_and_gradient_are_zero_at_the_base(build):
    model = build()
    value = L2SP(5.0).start(model, [], RECIPE).step(model)
    gradients = torch.autograd.grad(value, [w for w in model.parameters() if w.requires_grad])
    assert value.item() == 0 and not any(g.any() for g in gradients)


def test_displacement_of_an_adapter_is_that_of_the_merged_model():
    plain = small_model()
    model = move(adapted(plain))
    displaced = Displacement(model).tensors()
    merged = model.merge_and_unload()
    for name, moved in zip(("q_proj", "v_proj"), displaced, strict=True):
        after = getattr(merged.model.layers[0].self_attn, name).weight
        before = getattr(plain.model.layers[0].self_attn, name).weight
        torch.testing.assert_close(moved, after - before, atol=1e-6, rtol=1e-4)


def test_tied_weights_are_counted_once():
    model = small_model()
    model.lm_head.weight = model.model.embed_tokens.weight
    penalty = L2SP(2.0).start(model, [], RECIPE)
    with torch.no_grad():
        model.lm_head.weight += 0.5
    assert penalty.step(model).item() == pytest.approx(0.25 * 11 * 8, rel=1e-5)
