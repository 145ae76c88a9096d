"""Truth: ``model.generate`` of transformers, one prompt at a time."""

import numpy as np
import pytest
import tiny_models
import torch

from lib.errors import InvalidValueError
from lib.models.chat import Prompt
from lib.models.folders import LoadedModel
from lib.models.generation import _choose, _uniforms, generate

STORIES = ["Once upon a time", "Lily and Tom saw a big dog.", "The sun", "One day, Max the cat"]


def story_prompts(model):
    ids = model.tokenizer(STORIES)["input_ids"]
    return [[model.tokenizer.bos_token_id, *prompt] for prompt in ids]


def random_prompts(model):
    rng = np.random.default_rng(0)
    size = model.model.config.vocab_size
    return [rng.integers(10, size, n).tolist() for n in (3, 17, 3, 40, 1, 17)]


def test_greedy_equals_transformers(stories):
    prompts = story_prompts(stories)
    truth = []
    for prompt in prompts:
        out = stories.model.generate(
            torch.tensor([prompt]), do_sample=False, max_new_tokens=60, attention_mask=None
        )
        truth.append(stories.tokenizer.decode(out[0, len(prompt) :], skip_special_tokens=True))
    assert generate(stories, prompts, 60) == truth


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_text_does_not_depend_on_company(model, temperature):
    prompts = random_prompts(model)
    together = generate(model, prompts, 12, temperature, seed=3)
    assert together == [generate(model, [p], 12, temperature, seed=3)[0] for p in prompts]
    # Two of the prompts share a length, none shares its tokens, so order may change freely.
    assert together[::-1] == generate(model, prompts[::-1], 12, temperature, seed=3)


def test_generation_stops_at_the_end_token(words):
    prompts = random_prompts(words)
    long = generate(words, prompts, 40)
    end = words.tokenizer.eos_token_id
    for prompt, text in zip(prompts, long, strict=True):
        ids = words.model.generate(
            torch.tensor([prompt]), do_sample=False, max_new_tokens=40, attention_mask=None
        )[0, len(prompt) :].tolist()
        expected = ids[: ids.index(end)] if end in ids else ids
        assert text == words.tokenizer.decode(expected, skip_special_tokens=True)


def test_an_answer_ends_where_the_template_ends_a_turn(words):
    """Neither the tokenizer nor the configuration knows the token: the template alone does."""
    tokenizer = tiny_models.word_tokenizer()
    prompts = random_prompts(words)
    free = [text.split() for text in generate(words, prompts, 12)]
    turn = free[1][4]
    tokenizer.add_special_tokens({"additional_special_tokens": [turn]})
    tokenizer.chat_template = (
        f"{{% for m in messages %}}{{{{ m['content'] }}}} {turn} {{% endfor %}}")
    assert turn not in (tokenizer.eos_token, tokenizer.bos_token)
    found = generate(LoadedModel(words.model, tokenizer, "random"), prompts, 12)
    cut = [said[: said.index(turn)] if turn in said else said for said in free]
    assert [text.split() for text in found] == cut and cut != free


def test_prompts_may_be_text(stories):
    prompts = [Prompt(opening=text) for text in STORIES]
    assert generate(stories, prompts, 20) == generate(
        stories, stories.tokenizer(STORIES)["input_ids"], 20)


def test_rows_that_end_leave_the_others_unharmed(stories):
    # Ending on a common token makes rows finish at different steps.
    comma = stories.tokenizer.convert_tokens_to_ids(".")
    old, stories.model.generation_config.eos_token_id = 2, [2, comma]
    try:
        prompts = story_prompts(stories)
        together = generate(stories, prompts, 40)
        assert len({len(text) for text in together}) > 1
        assert together == [generate(stories, [p], 40)[0] for p in prompts]
        assert not any("." in text for text in together)
    finally:
        stories.model.generation_config.eos_token_id = old


def test_same_seed_same_text_other_seed_other_text(stories):
    prompts = story_prompts(stories)
    first = generate(stories, prompts, 20, 1.0, seed=1)
    assert first == generate(stories, prompts, 20, 1.0, seed=1)
    assert first != generate(stories, prompts, 20, 1.0, seed=2)


def test_repeated_prompt_gets_different_draws(stories):
    texts = generate(stories, [story_prompts(stories)[0]] * 8, 20, 1.0)
    assert len(set(texts)) > 4


def test_sampled_frequencies_match_the_softmax():
    logits = torch.tensor([[0.0, 1.0, 2.0]]).expand(4000, 3)
    drawn = _choose(logits, _uniforms([[1]] * 4000, 1, seed=0)[:, 0], temperature=0.7)
    truth = (logits[0] / 0.7).softmax(-1)
    share = torch.bincount(drawn, minlength=3) / 4000
    torch.testing.assert_close(share, truth, atol=0.03, rtol=0)


def test_extreme_draws_stay_in_the_vocabulary():
    logits = torch.tensor([[0.0, 0.0, -torch.inf]]).expand(2, 3)
    drawn = _choose(logits, np.array([0.0, np.nextafter(1, 0)]), temperature=1.0)
    assert drawn.tolist() == [0, 1]


@pytest.mark.parametrize("arguments", [(0, 1.0), (5, -0.1)])
def test_bad_settings_are_refused(words, arguments):
    with pytest.raises(InvalidValueError, match="temperature"):
        generate(words, [[5]], *arguments)


def test_text_beyond_the_context_is_refused(words):
    with pytest.raises(InvalidValueError, match="context"):
        generate(words, [[5] * 120], 20)
