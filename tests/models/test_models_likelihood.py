"""Truth: one plain, unbatched forward pass of transformers for each item."""

import numpy as np
import pandas as pd
import pytest
import torch

from lib.errors import InvalidValueError
from lib.models import likelihood
from lib.models.chat import Prompt, answer_ids, prompt_ids
from lib.models.likelihood import (
    answer_logprobs,
    answer_states,
    next_token_logprobs,
    sequence_logprobs,
)

LENGTHS = [(3, 2), (17, 1), (3, 6), (40, 3), (1, 4), (17, 2), (3, 2), (25, 5)]


def random_items(model, seed=0):
    rng = np.random.default_rng(seed)
    size = model.model.config.vocab_size
    draw = lambda n: rng.integers(0, size, n).tolist()  # noqa: E731
    return [draw(p) for p, _ in LENGTHS], [draw(a) for _, a in LENGTHS]


@torch.no_grad()
def plain_logprobs(model, ids):
    return model.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)


def plain_answer(model, prompt, answer):
    table = plain_logprobs(model, prompt + answer)
    return sum(table[len(prompt) + t - 1, token].item() for t, token in enumerate(answer))


def test_sequences_equal_plain_forward(model):
    prompts, answers = random_items(model)
    truth = [plain_answer(model, p, a) for p, a in zip(prompts, answers, strict=True)]
    frame = sequence_logprobs(model, prompts, answers)
    np.testing.assert_allclose(frame["logprob"], truth, atol=2e-5, rtol=1e-6)
    assert frame["tokens"].tolist() == [a for _, a in LENGTHS]


def test_sequences_do_not_depend_on_company(model):
    prompts, answers = random_items(model)
    together = sequence_logprobs(model, prompts, answers)["logprob"].to_numpy()
    alone = [
        sequence_logprobs(model, [p], [a])["logprob"].item()
        for p, a in zip(prompts, answers, strict=True)
    ]
    np.testing.assert_allclose(together, alone, atol=1e-5, rtol=1e-6)
    order = np.random.default_rng(1).permutation(len(prompts))
    permuted = sequence_logprobs(model, [prompts[i] for i in order], [answers[i] for i in order])
    np.testing.assert_allclose(permuted["logprob"], together[order], atol=1e-5, rtol=1e-6)


def test_next_token_equals_plain_forward(model):
    prompts, _ = random_items(model)
    truth = [plain_logprobs(model, prompt)[-1, [7, 3, 9]].numpy() for prompt in prompts]
    np.testing.assert_allclose(next_token_logprobs(model, prompts, [7, 3, 9]), truth, atol=1e-5)


def test_next_token_does_not_depend_on_company(model):
    prompts, _ = random_items(model)
    together = next_token_logprobs(model, prompts, [0, 5])
    alone = np.vstack([next_token_logprobs(model, [prompt], [0, 5]) for prompt in prompts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    backwards = next_token_logprobs(model, prompts[::-1], [0, 5])
    np.testing.assert_allclose(backwards[::-1], together, atol=1e-5)


def test_next_token_is_normalised_over_the_vocabulary(words):
    everything = next_token_logprobs(words, [[6, 7]], range(words.model.config.vocab_size))
    assert np.exp(everything).sum() == pytest.approx(1, abs=1e-6)


def test_one_token_answer_is_a_next_token(words):
    single = sequence_logprobs(words, [[6, 7]], [[9]])["logprob"].item()
    assert single == pytest.approx(next_token_logprobs(words, [[6, 7]], [9]).item(), abs=1e-6)


ASKED = [Prompt.chat("say yes or no"), Prompt(opening="the next number is"),
         Prompt.chat("next", "a b", opening="the")]


@pytest.mark.parametrize("name", ["words", "gpt2", "stories"])
def test_short_answers_equal_plain_forward(build, name):
    """Whether they are one token each, as in a vocabulary of words, or several."""
    model, answers = build(name), ["yes", "no", "number", "number a"]
    for some in (answers[:3], answers):
        found = answer_logprobs(model, ASKED, some)
        truth = [[plain_answer(model, prompt_ids(model.tokenizer, prompt),
                               answer_ids(model.tokenizer, prompt, answer)) for answer in some]
                 for prompt in ASKED]
        np.testing.assert_allclose(found, truth, rtol=1e-5)


def test_one_pass_is_enough_for_answers_of_one_token(monkeypatch, words):
    monkeypatch.setattr(likelihood, "branch_logprobs", lambda *_: pytest.fail("a second pass"))
    ids = words.tokenizer.convert_tokens_to_ids(["yes", "no"])
    found = answer_logprobs(words, ASKED, ["yes", "no"])
    assert (found == next_token_logprobs(words, ASKED, ids)).all()


def test_answers_that_the_vocabulary_lacks_are_refused(words):
    with pytest.raises(InvalidValueError, match="spell.*xylophone"):
        answer_logprobs(words, ASKED, ["yes", "xylophone"])


def test_text_is_scored_as_its_ids(model):
    prompts, answers = ASKED[:2], ["yes", "number no"]
    ids = [prompt_ids(model.tokenizer, prompt) for prompt in prompts]
    spelt = [answer_ids(model.tokenizer, p, a) for p, a in zip(prompts, answers, strict=True)]
    pd.testing.assert_frame_equal(sequence_logprobs(model, prompts, answers),
                                  sequence_logprobs(model, ids, spelt))


def test_real_model_prefers_real_english(stories):
    encode = lambda text: stories.tokenizer(text)["input_ids"]  # noqa: E731
    prompt = [stories.tokenizer.bos_token_id, *encode("Once upon a time, there was a little")]
    good, bad = encode(" girl"), encode(" tax")
    frame = sequence_logprobs(stories, [prompt, prompt], [good, bad])
    per_token = frame["logprob"] / frame["tokens"]
    assert per_token[0] > per_token[1] + 1


def test_nothing_in_nothing_out(words):
    assert sequence_logprobs(words, [], []).shape == (0, 2)
    assert next_token_logprobs(words, [], [1, 2]).shape == (0, 2)


def test_unpaired_or_empty_answers_are_refused(words):
    with pytest.raises(InvalidValueError, match="one non-empty answer"):
        sequence_logprobs(words, [[5], [6]], [[7]])
    with pytest.raises(InvalidValueError, match="one non-empty answer"):
        sequence_logprobs(words, [[5]], [[]])


def test_answer_beyond_the_context_is_refused(words):
    with pytest.raises(InvalidValueError, match="context"):
        sequence_logprobs(words, [[5] * 127], [[7, 7]])


@torch.no_grad()
def plain_states(model, prompt, answer, layer):
    states = model.model(torch.tensor([prompt + answer]), output_hidden_states=True).hidden_states
    own = states[layer][0, len(prompt):].numpy()
    return np.concatenate([own[-1], own.mean(0)])


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_states_equal_a_plain_forward_pass(model, layer):
    prompts, answers = random_items(model)
    truth = [plain_states(model, p, a, layer) for p, a in zip(prompts, answers, strict=True)]
    np.testing.assert_allclose(answer_states(model, prompts, answers, layer), truth, atol=2e-4)


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
