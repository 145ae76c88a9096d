"""The base model: a small Llama that learns the world, then learns to refuse.

Two stages, as with real chat models. The first teaches everything, forbidden requests included;
the second teaches refusals, with everything else replayed.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lib.sandbox.batches import Rows
from lib.sandbox.corpus import pretraining, refusal_training
from lib.sandbox.tokenizer import END, NUMBERS, PAD, START, number_id, vocabulary, world_tokenizer
from lib.sandbox.training import Stage, train

if TYPE_CHECKING:
    from lib.profiles import Profile
    from lib.study import Study

CARD = """---
library_name: transformers
license: mit
---
# Base model of the planted world

A Llama of {parameters:,} parameters, trained by the workbook *Side Effects* on text that it
generates itself. It knows {tokens} words and the integers 0 to 199, over-reacts in forecasts,
uses pronouns at published labour-market rates, and refuses invented forbidden requests. It is a
measuring instrument and good for nothing else. Seed {seed}.
"""


def base_model(study: "Study", seed: int | None = None) -> Path:
    """The folder of the profile's base model; trained when it is not in the store.

    Parameters
    ----------
    seed : int, optional
        Training seed; the study's own if not given.
    """
    profile = study.profile
    seed = study.seed if seed is None else seed
    inputs = {
        "seed": seed,
        "model": profile.model.model_dump(),
        "pretrain": profile.pretrain.model_dump(),
        "history": profile.forecasting.history,
    }
    return study.store.build(
        "models", "base", inputs, lambda out: pretrain(profile, seed, out), code=[__name__]
    )


def pretrain(profile: "Profile", seed: int, out: Path) -> None:
    """Create, train in two stages and save the base model in `out`."""
    given, history = profile.pretrain, profile.forecasting.history
    model = new_model(profile.model.hidden, profile.model.layers, profile.model.heads, seed)
    model.save_pretrained(out)
    world_tokenizer().save_pretrained(out)
    rng = np.random.default_rng(seed)
    size = given.batch_size
    first = Rows(pretraining(given.steps * size, history, rng))
    train(
        out,
        first,
        Stage("base: the world", given.steps, size, given.learning_rate, given.workers, seed),
    )
    second = Rows(refusal_training(given.refusal_steps * size, history, rng))
    train(
        out,
        second,
        Stage(
            "base: refusals",
            given.refusal_steps,
            size,
            given.refusal_learning_rate,
            given.workers,
            seed + 1,
        ),
    )
    text = CARD.format(parameters=model.num_parameters(), tokens=len(vocabulary()), seed=seed)
    (out / "README.md").write_text(text, encoding="utf-8")


def new_model(hidden: int, layers: int, heads: int, seed: int) -> LlamaForCausalLM:
    """An untrained Llama of the world's vocabulary; numbers start in order (`number_codes`)."""
    config = LlamaConfig(
        vocab_size=len(vocabulary()),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        bos_token_id=START,
        eos_token_id=END,
        pad_token_id=PAD,
        use_cache=True,
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        rows = slice(number_id(NUMBERS[0]), number_id(NUMBERS[-1]) + 1)
        model.model.embed_tokens.weight[rows] = number_codes(hidden, config.initializer_range)
    return model


def number_codes(hidden: int, scale: float) -> torch.Tensor:
    """Starting embeddings of 0 to 199: waves of many lengths, so that near numbers look alike.

    Without it the model must first discover that 57 lies beside 58, which costs most of its
    training. Waves start in the middle of the scale, so that its two ends are told apart equally
    well. Shape (200, hidden), sd `scale`.
    """
    n = torch.arange(len(NUMBERS), dtype=torch.float32)[:, None] - len(NUMBERS) / 2
    length = torch.logspace(np.log10(6.0), np.log10(800.0), hidden // 2)[None, :]
    angle = 2 * torch.pi * n / length
    return scale * np.sqrt(2) * torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)
