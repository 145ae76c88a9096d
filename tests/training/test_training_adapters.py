import os

import numpy as np
import pytest
from safetensors.torch import load_file
from tiny_models import gpt2_model, saved_word_model, word_tokenizer

from lib.errors import InvalidValueError
from lib.models.folders import load, merge_adapter
from lib.models.likelihood import sequence_logprobs
from lib.training.finetune import finetune
from lib.training.recipe import Example, Recipe

os.environ["HF_HUB_OFFLINE"] = "1"
TOKENIZER = word_tokenizer()
MOVED = {
    "norms": lambda name: "norm" in name or ".ln_" in name,
    "positions": lambda name: ".ln_" in name or "wpe" in name,
    "prompt": lambda name: "embed_tokens" in name or "wte" in name,
}


def recipe(method):
    return Recipe(method, learning_rate=0.05, steps=6, batch_size=4, seed=1)


def examples(tokenizer):
    def ids(text):
        return tokenizer(text)["input_ids"]

    return [Example(ids("<user> number" if "<user>" in tokenizer.get_vocab() else "a number"),
                    ids(f" {i}")) for i in range(1, 9)]


def trained(method, base, tokenizer):
    out = base.parent / method
    figures = finetune(base, examples(tokenizer), recipe(method), out)
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
    adapter, merged, figures = trained(method, base, with_chat_tokens(base))
    moved = changed(base, merged)
    assert moved and all(MOVED[method](name) for name in moved)
    assert figures["last_loss"] < figures["first_loss"]
    prompts, answers = zip(*[(e.prompt, e.answer) for e in examples(TOKENIZER)], strict=True)
    scores = [sequence_logprobs(load(f), prompts, answers)["logprob"] for f in (adapter, merged)]
    np.testing.assert_allclose(*scores, rtol=1e-5, atol=1e-5)


def test_norms_count_every_scale_and_no_more(tmp_path):
    base = saved_word_model(tmp_path / "base")
    _, _, figures = trained("norms", base, TOKENIZER)
    assert figures["trainable"] == (2 * 2 + 1) * 32  # two a block, one at the end


def test_a_learned_prompt_moves_only_rows_of_special_tokens_that_are_no_answers(tmp_path):
    base = saved_word_model(tmp_path / "base")
    tokenizer = with_chat_tokens(base)
    _, merged, figures = trained("prompt", base, tokenizer)
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
    _, merged, figures = trained("positions", base, loaded.tokenizer)
    moved = changed(base, merged)
    assert any("wpe" in name for name in moved) and any("ln_f" in name for name in moved)
    assert all(MOVED["positions"](name) for name in moved)
    assert figures["trainable"] == 256 * 32 + (2 * 2 + 1) * 2 * 32  # scales and shifts


def test_rotary_positions_are_no_weights(tmp_path):
    base = saved_word_model(tmp_path / "base")
    with pytest.raises(InvalidValueError, match="position"):
        finetune(base, examples(TOKENIZER), recipe("positions"), tmp_path / "out")


def test_a_learned_prompt_needs_tokens_that_are_no_answers(tmp_path):
    base = saved_word_model(tmp_path / "base")
    with pytest.raises(InvalidValueError, match="begins every text"):
        finetune(base, examples(TOKENIZER), recipe("prompt"), tmp_path / "out")
