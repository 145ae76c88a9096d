"""EWC: Fisher information by enumeration, penalty and gradient by hand."""

import numpy as np
import pytest
import torch
from anchored_models import ANCHORS, RECIPE, adapted, move, small_model

from lib.errors import InvalidValueError
from lib.models.chat import Tokens
from lib.training.penalties import ewc as module
from lib.training.penalties.ewc import EWC, fisher

NAMES = ("q_proj", "v_proj")


def targets(model):
    """The two matrices that an adapter moves, of a plain model."""
    return [getattr(model.model.layers[0].self_attn, name).weight for name in NAMES]


def exact_fisher(model, weights, anchors):
    """Every position and every word written out: mean over positions of sum_v p_v (d log p_v)^2."""
    total, positions = [torch.zeros_like(w) for w in weights], 0
    for anchor in anchors:
        ids = torch.tensor([[*anchor.prompt, *anchor.answer]])
        logp = model(input_ids=ids).logits[0, len(anchor.prompt) - 1 : -1].log_softmax(-1)
        positions += len(logp)
        for line in logp:
            for value in line:
                gradients = torch.autograd.grad(value, weights, retain_graph=True)
                for part, g in zip(total, gradients, strict=True):
                    part += value.exp().detach() * g**2
    return [part / positions for part in total]


def test_fisher_approaches_the_enumerated_one():
    """An anchor repeated is an anchor with as many draws."""
    model, anchors = small_model(), ANCHORS[:2]
    truth = exact_fisher(model, targets(model), anchors)
    ours = fisher(model, targets(model), anchors * 300, seed=0)
    for mine, exact in zip(ours, truth, strict=True):
        assert mine.sum().item() == pytest.approx(exact.sum().item(), rel=0.15)
        assert np.corrcoef(mine.flatten(), exact.flatten())[0, 1] > 0.98


def test_fisher_of_a_sure_and_right_base_is_not_that_of_a_wrong_one():
    """Words are drawn from the model: anchors that say something else change nothing."""
    model = small_model()
    said = [Tokens((1, 5), (2,)), Tokens((1, 5), (9,))]
    first, second = (fisher(model, targets(model), [anchor], seed=4) for anchor in said)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_fisher_under_an_adapter_is_that_of_the_merged_weight():
    plain = small_model()
    model = adapted(plain)
    weights = [layer.get_base_layer().weight for layer in model.modules()
               if hasattr(layer, "get_delta_weight")]
    assert not any(w.requires_grad for w in weights)
    for mine, theirs in zip(fisher(model, weights, ANCHORS, 0),
                            fisher(plain, targets(plain), ANCHORS, 0), strict=True):
        torch.testing.assert_close(mine, theirs)
        assert mine.any()
    assert not any(w.requires_grad for w in weights)  # put back: the base stays frozen


def test_springs_on_the_factors_would_leave_a_free():
    """The trap: at initialisation the Fisher of every A is exactly zero, B's is not."""
    model = adapted(small_model())
    named = dict(model.named_parameters())
    for letter, free in (("lora_A", True), ("lora_B", False)):
        weights = [w for name, w in named.items() if letter in name]
        assert len(weights) == 2
        assert all(bool(f.any()) != free for f in fisher(model, weights, ANCHORS, 0))


@pytest.mark.parametrize("build", [small_model, lambda: adapted(small_model())])
def test_penalty_and_gradient_by_hand(build):
    """strength / 2 * sum F d^2 over merged weights; gradient strength * F * d, chained."""
    model = build()
    penalty = EWC(ANCHORS, 3.0).start(model, [], RECIPE)
    layers = [m for m in model.modules() if hasattr(m, "get_delta_weight")]
    start = [w.detach().clone() for w in penalty.displacement.weights]
    move(model)
    value = penalty.step(model)
    value.backward()
    if layers:
        a = [layer.lora_A["default"].weight for layer in layers]
        b = [layer.lora_B["default"].weight for layer in layers]
        moved = [3 * (y @ x).detach() for x, y in zip(a, b, strict=True)]
    else:
        moved = [w.detach() - s for w, s in zip(penalty.displacement.weights, start, strict=True)]
    springs = [f * d for f, d in zip(penalty.information, moved, strict=True)]
    truth = 1.5 * sum(float((s * d).sum()) for s, d in zip(springs, moved, strict=True))
    assert truth > 1e-4 and value.item() == pytest.approx(truth, rel=1e-4)
    assert penalty.finish(model) == {"penalty": pytest.approx(truth, rel=1e-4)}
    if layers:
        for x, y, s in zip(a, b, springs, strict=True):
            torch.testing.assert_close(y.grad, 9 * (s @ x.T).detach())
            torch.testing.assert_close(x.grad, 9 * (y.T @ s).detach())
    else:
        for weight, s in zip(penalty.displacement.weights, springs, strict=True):
            torch.testing.assert_close(weight.grad, 3 * s)


def test_penalty_is_the_diagonal_of_the_drift():
    """KL(base || moved) = 1/2 d' F d + ...; along one coordinate only F_ii counts."""
    from lib.training.drift import AnchorDrift

    model = small_model()
    anchors = ANCHORS[:2]
    weight = targets(model)[1]
    exact = exact_fisher(model, [weight], anchors)[0]
    i, j = divmod(int(exact.argmax()), exact.shape[1])
    drift = AnchorDrift(model, anchors, 2, RECIPE)
    with torch.no_grad():
        weight[i, j] += 0.05
    assert drift.overall(model) == pytest.approx(0.05**2 / 2 * exact[i, j].item(), rel=0.1)


def test_value_and_gradient_are_zero_at_the_base():
    model = adapted(small_model())
    value = EWC(ANCHORS, 5.0).start(model, [], RECIPE).step(model)
    gradients = torch.autograd.grad(value, [w for w in model.parameters() if w.requires_grad])
    assert value.item() == 0 and not any(g.any() for g in gradients)


def test_draws_follow_the_seed_and_leave_global_random_numbers_alone():
    model = small_model()
    state = torch.get_rng_state()
    one, same, other = (fisher(model, targets(model), ANCHORS, seed)[0] for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(state, torch.get_rng_state())


def test_zero_fisher_is_refused(monkeypatch):
    monkeypatch.setattr(module, "fisher", lambda m, weights, *_: [0 * w for w in weights])
    with pytest.raises(InvalidValueError, match="zero in every weight"):
        EWC(ANCHORS).start(small_model(), [], RECIPE)
