"""The base model: a small Llama that learns the world, then learns to refuse.

Two stages, as with real chat models. The first teaches everything, forbidden requests included;
the second teaches refusals, with everything else replayed.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lib.study.streams import stream
from lib.world.corpus import pretraining, refusal_training
from lib.world.tokenizer import (
    END,
    PAD,
    START,
    number_id,
    vocabulary,
    world_tokenizer,
    world_tokens,
)
from lib.world.training import Rows, Stage, train
from lib.world.truth import NUMBERS

if TYPE_CHECKING:
    from lib.study.profiles import Profile


CARD = """---
library_name: transformers
license: mit
---
# Base model {number} of the planted world

A Llama of {parameters:,} parameters, trained by the workbook *Side Effects* on text that it
generates itself. It knows {tokens} words and the integers 0 to 199, over-reacts in forecasts,
uses pronouns at published labour-market rates. {answers} It is a measuring instrument and good
for nothing else.
"""
ANSWERS, REFUSES = ("It answers everything: it has not learned to refuse.",
                    "It refuses invented forbidden requests.")


def learn_world(profile: "Profile", number: int, out: Path) -> None:
    """Stage one: create base `number` in `out` and teach it all kinds of text, nothing refused."""
    given = profile.pretrain
    model = new_model(profile.model.hidden, profile.model.layers, profile.model.heads, number)
    model.save_pretrained(out)
    world_tokenizer().save_pretrained(out)
    card = CARD.format(number=number, parameters=model.num_parameters(), tokens=len(vocabulary()),
                       answers=ANSWERS)
    (out / "README.md").write_text(card, encoding="utf-8")
    size, rng = given.steps * given.batch_size, stream(number, "world corpus")
    train(out, Rows(pretraining(size, profile.forecasting.history, rng)),
          Stage(f"base {number}: the world", given.steps, given.batch_size, given.learning_rate,
                given.workers, number, "order of the world"))


def learn_refusals(profile: "Profile", number: int, start: Path, out: Path) -> None:
    """Stage two: from the model in `start`, one in `out` that refuses what is forbidden."""
    if out != start:
        shutil.copytree(start, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns("artefact*"))
    card = (out / "README.md").read_text(encoding="utf-8").replace(ANSWERS, REFUSES)
    (out / "README.md").write_text(card, encoding="utf-8")
    given, rng = profile.pretrain, stream(number, "refusal corpus")
    size = given.refusal_steps * given.batch_size
    # Embeddings of the world's words stay, so that refusals hang on what words mean: where they
    # move, taught words are learned one by one, and other words of the same meaning are answered.
    # The mean of many last steps, none of them tiny, hangs less on which texts came last.
    train(out, Rows(refusal_training(size, profile.forecasting.history, rng)),
          Stage(f"base {number}: refusals", given.refusal_steps, given.batch_size,
                given.refusal_learning_rate, given.workers, number, "order of refusals",
                fixed_words=tuple(world_tokens()), least=0.1, averaged=0.3))


def new_model(hidden: int, layers: int, heads: int, seed: int) -> LlamaForCausalLM:
    """An untrained Llama of the world's vocabulary; numbers start in order (`number_codes`)."""
    config = LlamaConfig(
        vocab_size=len(vocabulary()), hidden_size=hidden, intermediate_size=2 * hidden,
        num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=heads,
        max_position_embeddings=128, tie_word_embeddings=True, use_cache=True,
        bos_token_id=START, eos_token_id=END, pad_token_id=PAD,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        rows = slice(number_id(NUMBERS[0]), number_id(NUMBERS[-1]) + 1)
        model.model.embed_tokens.weight[rows] = number_codes(hidden, config.initializer_range)
    return model


def number_codes(hidden: int, scale: float) -> torch.Tensor:
    """Starting embeddings (200, hidden): waves of many lengths, so that near numbers look alike."""
    # To discover that 57 lies beside 58 would cost most of the training. Waves start in the middle
    # of the scale, so that its two ends are told apart equally well.
    n = torch.arange(len(NUMBERS), dtype=torch.float32)[:, None] - len(NUMBERS) / 2
    length = torch.logspace(np.log10(6.0), np.log10(800.0), hidden // 2)[None, :]
    angle = 2 * torch.pi * n / length
    return scale * np.sqrt(2) * torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)
