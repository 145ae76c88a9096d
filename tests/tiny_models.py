"""Small real models for the tests of ``lib.models`` and ``lib.training``."""

import os
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from lib.models.folders import LoadedModel

WORDS = "<pad> <end> <user> <bot> <sys> <unk> next number is a b c d e f g h the yes no".split()
TEMPLATE = (
    "{% for m in messages %}{{ '<sys> ' if m['role'] == 'system' else '<user> ' }}"
    "{{ m['content'] }} {% endfor %}{% if add_generation_prompt %}{{ '<bot>' }}{% endif %}"
)


def mirror(name: str) -> Path:
    """A folder of the local model mirror; skips the test where there is none."""
    root = os.environ.get("DEBIAS_MODEL_MIRROR")
    if not root or not (Path(root) / name).is_dir():
        pytest.skip(f"needs {name} under DEBIAS_MODEL_MIRROR")
    return Path(root) / name


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Word-level, one token per integer 0..199, like the sandbox's."""
    vocabulary = {word: i for i, word in enumerate([*WORDS, *map(str, range(200))])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="<end>",
        unk_token="<unk>",
        chat_template=TEMPLATE,
    )


def llama(vocabulary: int, seed: int = 0, **changes) -> LlamaForCausalLM:
    """A random two-layer Llama; weights large enough that its predictions are not flat."""
    torch.manual_seed(seed)
    settings = dict(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.3,
        eos_token_id=1,
        pad_token_id=0,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(LlamaConfig(**(settings | changes))).eval()


def word_model() -> LoadedModel:
    tokenizer = word_tokenizer()
    return LoadedModel(llama(len(tokenizer)), tokenizer, "random")


def gpt2_model() -> LoadedModel:
    """Random weights, real GPT-2 tokenizer."""
    folder = mirror("gpt2-tokenizer")
    torch.manual_seed(0)
    config = GPT2Config.from_pretrained(
        folder, n_layer=2, n_embd=32, n_head=4, n_positions=256, initializer_range=0.1
    )
    return LoadedModel(
        GPT2LMHeadModel(config).eval(), AutoTokenizer.from_pretrained(folder), "random"
    )


def smollm2_model() -> LoadedModel:
    """Random weights, real SmolLM2 tokenizer and chat template."""
    tokenizer = AutoTokenizer.from_pretrained(mirror("smollm2-135m-instruct-tokenizer"))
    model = llama(len(tokenizer), max_position_embeddings=256, eos_token_id=2, pad_token_id=2)
    return LoadedModel(model, tokenizer, "random")


def saved_word_model(folder: Path) -> Path:
    """The word-level model as a folder."""
    loaded = word_model()
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder
