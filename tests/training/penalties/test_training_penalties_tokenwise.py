"""The token-wise objective: as published, its limits at both ends, its record."""

import numpy as np
import pytest
import torch
from anchored_models import RECIPE, adapted, answer_rows, move, small_model

from lib.models.chat import Tokens
from lib.training.batching import collate
from lib.training.objective import Penalty
from lib.training.penalties.tokenwise import DEEP, TokenWise

EXAMPLES = [
    Tokens((1, 5), (2, 3, 4, 9, 8, 7, 6, 2)), Tokens((4, 9, 3), (8,)), Tokens((7,), (1, 10, 3)),
]
BUILDS = [small_model, lambda: adapted(small_model())]


def batch(rows):
    return {"rows": torch.tensor(rows), **collate([EXAMPLES[i] for i in rows])}


def logp(model, example):
    """log p of each answer token."""
    return answer_rows(model, example)[np.arange(len(example.answer)), list(example.answer)]


def weights(model):
    return [w for w in model.parameters() if w.requires_grad]


def gradients(value, model):
    return torch.autograd.grad(value, weights(model))


def assert_same(ours, truth):
    for mine, theirs in zip(ours, truth, strict=True):
        torch.testing.assert_close(mine, theirs, atol=2e-5, rtol=1e-3)


def weighted_cross_entropy(model, rows, weight):
    """sum_t -w_t log p(y_t), from unpadded passes; its gradient is the published one."""
    total = 0.0
    for i in rows:
        prompt, answer = EXAMPLES[i].prompt, EXAMPLES[i].answer
        logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0]
        lines = logits[len(prompt) - 1 : -1].log_softmax(-1)
        chosen = lines[torch.arange(len(answer)), list(answer)]
        total = total - (torch.tensor(weight[i]) * chosen).sum()
    return total


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("betas", [DEEP, (0.1,), (2.0,)])
def test_value_and_gradient_are_the_published_ones(build, betas):
    model = build()
    before = [logp(model, e) for e in EXAMPLES]
    penalty = TokenWise(betas).start(model, EXAMPLES, RECIPE)
    move(model)
    value, truth, weight = 0.0, 0.0, {}
    for i, example in enumerate(EXAMPLES):
        now = logp(model, example)
        beta = np.array([betas[min(t, len(betas) - 1)] for t in range(len(now))])
        sigmoid = 1 / (1 + np.exp(-beta * (now - before[i])))
        value += (-2 / beta * np.log(sigmoid)).sum()
        truth -= now.sum()
        weight[i] = 2 * (1 - sigmoid)
    objective, cross_entropy = penalty.answers(model, batch([2, 0, 1]))
    assert objective.item() == pytest.approx(value, rel=1e-4)
    assert cross_entropy.item() == pytest.approx(truth, rel=1e-4)
    ours = gradients(objective, model)
    assert_same(ours, gradients(weighted_cross_entropy(model, [0, 1, 2], weight), model))


@pytest.mark.parametrize("build", BUILDS)
def test_training_starts_like_plain_training(build):
    """w_t = 1 at the base, whatever the strengths; the value there is 2 log 2 / beta a token."""
    model = build()
    penalty = TokenWise().start(model, EXAMPLES, RECIPE)
    objective, _ = penalty.answers(model, batch([0, 1, 2]))
    plain, _ = Penalty().answers(model, batch([0, 1, 2]))
    assert_same(gradients(objective, model), gradients(plain, model))
    each = [2 * np.log(2) / DEEP[min(t, 5)] for e in EXAMPLES for t in range(len(e.answer))]
    assert penalty.answers(model, batch([0, 1, 2]))[0].item() == pytest.approx(sum(each), rel=1e-5)


def test_small_strength_approaches_plain_training():
    model = small_model()
    penalty = TokenWise((1e-5,)).start(model, EXAMPLES, RECIPE)
    move(model)
    objective, plain = penalty.answers(model, batch([0, 1]))
    assert_same(gradients(objective, model), gradients(
        Penalty().answers(model, batch([0, 1]))[0], model))
    assert plain.item() == pytest.approx(Penalty().answers(model, batch([0, 1]))[0].item())


def test_zero_after_the_first_token_is_cross_entropy_there():
    """Constrain the first token only: its weight is the published one, all others are one."""
    model = small_model()
    before = [logp(model, e) for e in EXAMPLES]
    penalty = TokenWise((2.0, 0.0)).start(model, EXAMPLES, RECIPE)
    move(model)
    weight = {}
    for i, example in enumerate(EXAMPLES):
        weight[i] = np.ones(len(example.answer))
        weight[i][0] = 2 / (1 + np.exp(2 * (logp(model, example)[0] - before[i][0])))
    ours = gradients(penalty.answers(model, batch([0, 1, 2]))[0], model)
    assert_same(ours, gradients(weighted_cross_entropy(model, [0, 1, 2], weight), model))


def test_large_strength_gates_a_token_off_once_it_is_likelier():
    model = small_model()
    base = TokenWise((200.0,)).start(model, EXAMPLES, RECIPE)
    with torch.no_grad():  # "8" becomes much likelier everywhere
        model.lm_head.weight[8] += 3 * model.model(torch.tensor([[4, 9, 3]]))[0][0, -1]
    objective, _ = base.answers(model, batch([1]))
    assert max(g.abs().max().item() for g in gradients(objective, model)) < 1e-6


def test_company_in_the_batch_changes_nothing():
    """Padding and the first answer column differ; each example's objective does not."""
    model = small_model()
    penalty = TokenWise().start(model, EXAMPLES, RECIPE)
    move(model)
    alone = sum(penalty.answers(model, batch([i]))[0].item() for i in range(3))
    assert penalty.answers(model, batch([0, 1, 2]))[0].item() == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("parts", [[[2, 0, 1]], [[1], [2, 0]]])
def test_weights_are_recorded_by_position_whatever_the_parts_of_a_step(parts):
    model = small_model()
    before = [logp(model, e) for e in EXAMPLES]
    penalty = TokenWise().start(model, EXAMPLES, RECIPE)
    for _ in range(2):  # the first step's weights are one; then the model moves
        for k, rows in enumerate(parts):
            penalty.answers(model, batch(rows))
            if k == 0:
                assert penalty.step(model) is None
        move(model)
    penalty.finish(model)
    # The record holds what a step used, so it knows one of the two moves.
    model = small_model()
    move(model)
    by_position = [[] for _ in range(8)]
    for example, old in zip(EXAMPLES, before, strict=True):
        beta = np.array([DEEP[min(t, 5)] for t in range(len(old))])
        for t, w in enumerate(2 / (1 + np.exp(beta * (logp(model, example) - old)))):
            by_position[t].append(w)
    first, second = penalty.history
    assert list(first.values()) == pytest.approx([1.0] * 8, abs=1e-5)
    assert list(second) == [f"w_{t}" for t in range(1, 9)]
    assert list(second.values()) == pytest.approx([np.mean(w) for w in by_position], rel=1e-4)


def test_positions_that_no_answer_of_a_step_has_are_left_empty():
    model = small_model()
    penalty = TokenWise().start(model, EXAMPLES, RECIPE)
    penalty.answers(model, batch([1]))
    penalty.step(model)
    penalty.finish(model)
    assert np.isnan(list(penalty.history[0].values())).tolist() == [False] + [True] * 7


def test_published_strengths():
    assert TokenWise().betas == (0.5, 2.0, 2.0, 2.0, 2.0, 0.1)
    assert TokenWise().active and not TokenWise((0.0, 0.0)).active
