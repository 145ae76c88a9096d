"""Truth: every integer's tokens through a plain forward pass, one at a time, without a cache."""

import re

import numpy as np
import pytest
import torch

from lib.errors import InvalidValueError
from lib.models.chat import Prompt, encoded
from lib.models.numbers import number_distribution, predictive_mean, spell, starts_with_space

TEXTS = ["The values are 12, 15, 9 and the next is", "Next:", "1 2 3 4\n", "Price ($"]


def encode(model, text):
    return model.tokenizer(text, add_special_tokens=False)["input_ids"]


@torch.no_grad()
def brute_force(model, prompt, numbers, prefix):
    """p(number) by definition; continuations found by decoding the whole vocabulary."""
    tokenizer, probs = model.tokenizer, []
    digit = torch.tensor(
        [bool(re.match("[0-9]", tokenizer.decode([i]))) for i in vocabulary(model)]
    )
    for number in numbers:
        answer = encode(model, f"{prefix}{number}")
        table = model.model(torch.tensor([prompt + answer])).logits[0].double().softmax(-1)
        p = table[-1, ~digit].sum().item()
        for t, token in enumerate(answer):
            p *= table[len(prompt) + t - 1, token].item()
        probs.append(p)
    return np.array(probs)


def vocabulary(model):
    return range(model.model.config.vocab_size)


@pytest.mark.parametrize("name", ["gpt2", "smollm2"])
@pytest.mark.parametrize("text, prefix", zip(TEXTS, [" ", " ", "", ""], strict=True))
def test_tree_equals_brute_force(build, name, text, prefix):
    model = build(name)
    prompt = encode(model, text)
    probs, mass = number_distribution(model, [prompt], 95, 123)
    truth = brute_force(model, prompt, range(95, 124), prefix)
    np.testing.assert_allclose(probs[0] * mass[0], truth, rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(probs[0], truth / truth.sum(), rtol=1e-4, atol=1e-12)


def test_chat_answer_has_no_leading_space(build):
    model = build("smollm2")
    prompts = [Prompt.chat("Numbers: 4, 5, 6. The next?")]
    probs, mass = number_distribution(model, prompts, 0, 30)
    truth = brute_force(model, encoded(model.tokenizer, prompts)[0], range(31), "")
    np.testing.assert_allclose(probs[0] * mass[0], truth, rtol=1e-4, atol=1e-12)


def test_negative_integers_equal_brute_force(build):
    model = build("gpt2")
    prompt = encode(model, "It was")
    probs, mass = number_distribution(model, [prompt], -12, 3)
    truth = brute_force(model, prompt, range(-12, 4), " ")
    np.testing.assert_allclose(probs[0] * mass[0], truth, rtol=1e-4, atol=1e-12)


def test_word_level_reads_one_token(words):
    prompt = encode(words, "the next number is")
    with torch.no_grad():
        table = words.model(torch.tensor([prompt])).logits[0, -1].double().softmax(-1)
    truth = table[[words.tokenizer.convert_tokens_to_ids(str(n)) for n in range(200)]].numpy()
    probs, mass = number_distribution(words, [prompt], 0, 199)
    np.testing.assert_allclose(probs[0] * mass[0], truth, rtol=1e-4, atol=1e-12)
    assert mass[0] == pytest.approx(truth.sum(), rel=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "smollm2", "stories", "words"])
def test_numbers_do_not_depend_on_company(build, name):
    model = build(name)
    texts = TEXTS if name != "words" else ["the next number is", "next is", "is", "a b c is"]
    prompts = [encode(model, text) for text in texts]
    probs, mass = number_distribution(model, prompts, 8, 25)
    for i, prompt in enumerate(prompts):
        alone, alone_mass = number_distribution(model, [prompt], 8, 25)
        np.testing.assert_allclose(probs[i], alone[0], rtol=1e-4, atol=1e-12)
        np.testing.assert_allclose(mass[i], alone_mass[0], rtol=1e-5)
    backwards, _ = number_distribution(model, prompts[::-1], 8, 25)
    np.testing.assert_allclose(backwards[::-1], probs, rtol=1e-4, atol=1e-12)


def test_range_wider_than_a_pass_agrees_with_its_parts(build):
    model = build("smollm2")
    prompt = encode(model, TEXTS[0])
    whole, mass = number_distribution(model, [prompt], 0, 600)
    part, part_mass = number_distribution(model, [prompt], 400, 600)
    np.testing.assert_allclose(whole[0, 400:] * mass[0], part[0] * part_mass[0], rtol=1e-4)


def test_integers_exclude_each_other(build):
    """12 is not counted in 123: the mass of nested numbers never exceeds their common start."""
    for name in ("gpt2", "smollm2"):
        _, mass = number_distribution(build(name), [encode(build(name), "It is")], 0, 1200)
        assert 0 < mass[0] < 1


def test_mean_and_sd_are_those_of_the_distribution(words):
    prompts = [encode(words, "the next number is"), encode(words, "a b")]
    probs, mass = number_distribution(words, prompts, 10, 60)
    values = np.arange(10, 61)
    frame = predictive_mean(words, prompts, 10, 60)
    means = [np.average(values, weights=row) for row in probs]
    variances = [np.cov(values, aweights=row, ddof=0) for row in probs]
    np.testing.assert_allclose(frame["mean"], means)
    np.testing.assert_allclose(frame["sd"], np.sqrt(variances))
    np.testing.assert_allclose(frame["mass"], mass)


@pytest.mark.parametrize("text, spaced", zip(TEXTS, [True, True, False, False], strict=True))
def test_space_convention(build, text, spaced):
    model = build("gpt2")
    assert starts_with_space(model.tokenizer, encode(model, text)) is spaced


def test_no_space_after_a_special_token(build):
    tokenizer = build("smollm2").tokenizer
    assert not starts_with_space(tokenizer, [tokenizer.bos_token_id])


@pytest.mark.parametrize("name", ["gpt2", "smollm2", "stories", "words"])
def test_spelling_is_what_follows_in_running_text(build, name):
    model = build(name)
    for number in (0, 7, 42, 199):
        text = encode(model, f"the number is {number}")
        assert tuple(text[-len(spell(model.tokenizer, number, True)) :]) == spell(
            model.tokenizer, number, True
        )


def test_impossible_ranges_are_refused(words):
    with pytest.raises(InvalidValueError, match="low <= high"):
        number_distribution(words, [[6]], 5, 4)
    with pytest.raises(InvalidValueError, match="no spelling of 200"):
        number_distribution(words, [[6]], 0, 200)


@pytest.mark.parametrize("name", ["gpt2", "smollm2"])
def test_a_comma_or_a_point_ends_a_number(build, name):
    """So 12,000 and 12.5 count as 12, and neither as 12000 nor as 125."""
    model = build(name)
    prompt = encode(model, "It is")
    probs, mass = number_distribution(model, [prompt], 12, 12)
    written = encode(model, " 12")
    with torch.no_grad():
        table = model.model(torch.tensor([prompt + written])).logits[0].double().softmax(-1)
    reached = np.prod([table[len(prompt) + t - 1, token].item()
                       for t, token in enumerate(written)])
    marks = [encode(model, mark)[0] for mark in (",", ".", ",000", ".5")]
    ended = sum(table[-1, token].item() for token in set(marks))
    assert reached * ended < mass[0] * probs[0, 0] < reached
