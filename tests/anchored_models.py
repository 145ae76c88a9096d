"""A model small enough to compute by hand, two versions of its weights, and training runs."""

import copy
import warnings

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from tiny_models import llama, word_tokenizer

from lib.models.chat import Example, Prompt, Tokens, tokenised
from lib.training.recipe import Recipe

VOCABULARY = 11
CHAT = [Tokens((1, 5, 7), (2, 3)), Tokens((4, 9), (8,)), Tokens((1, 6, 6, 2), (10, 3, 5))]
TEXT = [Tokens((1,), (4, 7, 2, 9, 3))]
ANCHORS = (*CHAT, *TEXT)
RECIPE = Recipe("full", steps=6, batch_size=2)
TOKENIZER = word_tokenizer()


def small_model(seed=0):
    """One layer, eleven words; the head has weights of its own, so their gradient is simple."""
    changes = dict(hidden_size=8, intermediate_size=12, num_hidden_layers=1,
                   num_attention_heads=2, num_key_value_heads=2, tie_word_embeddings=False)
    return llama(VOCABULARY, seed, **changes)


def adapted(model, **changes):
    """A fresh LoRA adapter: B is zero."""
    config = LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj", "v_proj"], **changes)
    torch.manual_seed(1)
    with warnings.catch_warnings():  # as in lib.models.folders
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        return get_peft_model(copy.deepcopy(model), config).eval()


def move(model, scale=0.3, seed=3):
    """Stand-in for training: noise on whatever training would move."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight += scale * torch.randn(weight.shape, generator=generator)
    return model


def answer_rows(model, example):
    """Log-probabilities at an answer's positions, float64, from one unpadded plain pass."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*example.prompt, *example.answer]])).logits[0]
    rows = logits[len(example.prompt) - 1 : -1].double().numpy()
    return rows - np.log(np.exp(rows).sum(1, keepdims=True))


def read(examples):
    """The examples as the word model's tokens."""
    return tokenised(TOKENIZER, examples)


def countdown(n=24):
    """Answer a number by the one below it; prompts of three lengths."""
    filler = ["", "the ", "the next "]
    return [Example(Prompt(opening=f"{filler[i % 3]}number {i % 12 + 1} is"), str(i % 12))
            for i in range(n)]


def letters(n=20):
    """Anchors in the words of the same model: short chats and plain text."""
    chats = [Example(Prompt.chat(a), f"no {b}", ends=False)
             for a, b in zip("abcdefgh", "hgfedcba", strict=True)]
    texts = [Example(Prompt(), f"the {a} is {i}", ends=False) for i, a in enumerate("abcdefgh")]
    return [*chats, *texts][:n]
