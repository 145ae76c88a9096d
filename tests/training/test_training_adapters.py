"""Methods: each moves its own weights and nothing else."""

import os

import numpy as np
import pytest
from safetensors.torch import load_file
from tiny_models import gpt2_model, saved_word_model, word_tokenizer

from lib.errors import InvalidValueError
from lib.models.chat import Example, Prompt
from lib.models.folders import load, merge_adapter
from lib.models.likelihood import example_logprobs
from lib.training.finetune import finetune
from lib.training.recipe import Recipe

os.environ["HF_HUB_OFFLINE"] = "1"
MOVED = {
    "norms": lambda name: "norm" in name or ".ln_" in name,
    "positions": lambda name: ".ln_" in name or "wpe" in name,
    "prompt": lambda name: "embed_tokens" in name or "wte" in name,
}


def recipe(method):
    return Recipe(method, learning_rate=0.05, steps=6, batch_size=4, seed=1)


EXAMPLES = [Example(Prompt.chat("number"), str(i), ends=False) for i in range(1, 9)]


def trained(method, base):
    out = base.parent / method
    figures = finetune(base, EXAMPLES, recipe(method), out)
    merge_adapter(base, out, base.parent / f"{method}-merged")
    return out, base.parent / f"{method}-merged", figures


def changed(base, merged):
    before, after = (load_file(f / "model.safetensors") for f in (base, merged))
    assert before.keys() == after.keys()
    return {name for name in before if not before[name].equal(after[name])}


def with_chat_tokens(base):
    tokenizer = word_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<user>", "additional_special_tokens": ["<bot>"]})
    tokenizer.save_pretrained(base)
    return tokenizer


@pytest.mark.parametrize("method", ["norms", "prompt"])
def test_a_method_moves_its_own_weights_and_nothing_else(method, tmp_path):
    base = saved_word_model(tmp_path / "base")
    with_chat_tokens(base)
    adapter, merged, figures = trained(method, base)
    moved = changed(base, merged)
    assert moved and all(MOVED[method](name) for name in moved)
    assert figures["last_loss"] < figures["first_loss"]
    scores = [example_logprobs(load(f), EXAMPLES)["logprob"] for f in (adapter, merged)]
    np.testing.assert_allclose(*scores, rtol=1e-5)


def test_norms_count_every_scale_and_no_more(tmp_path):
    base = saved_word_model(tmp_path / "base")
    _, _, figures = trained("norms", base)
    assert figures["trainable"] == (2 * 2 + 1) * 32  # two a block, one at the end


def test_a_learned_prompt_moves_only_rows_of_special_tokens_that_are_no_answers(tmp_path):
    base = saved_word_model(tmp_path / "base")
    tokenizer = with_chat_tokens(base)
    _, merged, figures = trained("prompt", base)
    before, after = (load(f).model.get_input_embeddings().weight for f in (base, merged))
    rows = {int(i) for i in (before != after).any(1).nonzero()}
    allowed = set(tokenizer.convert_tokens_to_ids(["<user>", "<bot>"]))
    assert tokenizer.convert_tokens_to_ids("<user>") in rows and rows <= allowed
    assert figures["trainable"] == len(allowed) * 32


def test_positions_move_with_the_norms_of_a_real_architecture(tmp_path):
    loaded = gpt2_model()
    base = tmp_path / "base"
    loaded.model.save_pretrained(base)
    loaded.tokenizer.save_pretrained(base)
    _, merged, figures = trained("positions", base)
    moved = changed(base, merged)
    assert any("wpe" in name for name in moved) and any("ln_f" in name for name in moved)
    assert all(MOVED["positions"](name) for name in moved)
    assert figures["trainable"] == 256 * 32 + (2 * 2 + 1) * 2 * 32  # scales and shifts


def test_rotary_positions_are_no_weights(tmp_path):
    base = saved_word_model(tmp_path / "base")
    with pytest.raises(InvalidValueError, match="position"):
        finetune(base, EXAMPLES, recipe("positions"), tmp_path / "out")


def test_a_learned_prompt_needs_tokens_that_are_no_answers(tmp_path):
    base = saved_word_model(tmp_path / "base")
    with pytest.raises(InvalidValueError, match="begins every text"):
        finetune(base, EXAMPLES, recipe("prompt"), tmp_path / "out")
