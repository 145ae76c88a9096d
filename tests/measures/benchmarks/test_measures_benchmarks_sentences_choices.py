"""Choices after prompts: plain forward pass, and shared choices against separate ones."""

import numpy as np
import pytest
from stories import answer_sum, stories

from lib.measures.benchmarks import sentences as choices
from lib.measures.benchmarks.bbq import UNKNOWN

PROMPTS = ["The boy and the girl ran.\n\nQ: Who fell?\nA:", "Mom was sad.\n\nQ: Why?\nA:"]


@pytest.fixture(scope="module")
def model():
    return stories()


def test_choices_equal_a_plain_forward_pass(model):
    asked = [["The boy", "The girl"], ["She fell", "No"]]
    found = choices.choice_logprobs(model, PROMPTS, asked)
    truth = [
        [answer_sum(model, prompt, f" {choice}") for choice in row]
        for prompt, row in zip(PROMPTS, asked, strict=True)
    ]
    np.testing.assert_allclose(found, truth, atol=2e-5)


def test_shared_choices_equal_separate_ones(model):
    asked = [["The boy"], ["She fell"]]
    apart = choices.choice_logprobs(model, PROMPTS, [[*row, *UNKNOWN] for row in asked])
    shared = choices.choice_logprobs(model, PROMPTS, asked, UNKNOWN)
    assert shared.shape == (2, 11)
    np.testing.assert_array_equal(shared, apart)


def test_order_of_prompts_does_not_matter(model):
    forth = choices.choice_logprobs(model, PROMPTS, [[], []], UNKNOWN[:3])
    back = choices.choice_logprobs(model, PROMPTS[::-1], [[], []], UNKNOWN[:3])
    np.testing.assert_allclose(forth, back[::-1], atol=1e-5)


def test_nothing_in_nothing_out(model):
    assert choices.choice_logprobs(model, [], []).shape == (0, 0)
    assert choices.choice_logprobs(model, [], [], UNKNOWN).shape == (0, 10)
