"""Truth: one plain, unbatched forward pass of transformers for each answer."""

import numpy as np
import pytest
import torch

from lib.errors import InvalidValueError
from lib.models.likelihood import answer_states

LENGTHS = [(3, 2), (17, 1), (3, 6), (40, 3), (1, 4), (17, 2)]


def random_items(model):
    rng = np.random.default_rng(0)
    size = model.model.config.vocab_size
    draw = lambda n: rng.integers(0, size, n).tolist()  # noqa: E731
    return [draw(p) for p, _ in LENGTHS], [draw(a) for _, a in LENGTHS]


@torch.no_grad()
def plain(model, prompt, answer, layer):
    states = model.model(torch.tensor([prompt + answer]), output_hidden_states=True).hidden_states
    own = states[layer][0, len(prompt):].numpy()
    return np.concatenate([own[-1], own.mean(0)])


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_states_equal_a_plain_forward_pass(model, layer):
    prompts, answers = random_items(model)
    truth = [plain(model, p, a, layer) for p, a in zip(prompts, answers, strict=True)]
    found, scale = answer_states(model, prompts, answers, layer), np.abs(truth).max()
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-5 * scale)


def test_an_answer_of_one_token_is_its_own_mean(words):
    state, mean = np.split(answer_states(words, [[6, 7, 8]], [[9]], 1)[0], 2)
    np.testing.assert_array_equal(state, mean)


@pytest.mark.parametrize(("prompts", "answers", "layer"), [
    ([[6]], [[7]], 9), ([[6]], [[7]], -1), ([[6], [7]], [[8]], 1), ([[6]], [[]], 1),
    ([[]], [[7]], 1), ([[6] * 200], [[7]], 1),
])
def test_what_cannot_be_read_is_refused(words, prompts, answers, layer):
    with pytest.raises(InvalidValueError):
        answer_states(words, prompts, answers, layer)
