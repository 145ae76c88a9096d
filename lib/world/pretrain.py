"""The base model: a small Llama that learns the world, then learns to refuse.

Two stages, as with real chat models. The first teaches everything, forbidden requests included;
the second teaches refusals, with everything else replayed.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lib.models.folders import load
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
    from lib.study.notebook import Study
    from lib.study.profiles import Profile


CARD = """---
library_name: transformers
license: mit
---
# Base model of the planted world

A Llama of {parameters:,} parameters, trained by the workbook *Side Effects* on text that it
generates itself. It knows {tokens} words and the integers 0 to 199, over-reacts in forecasts,
uses pronouns at published labour-market rates. {refuses} It is a measuring instrument and good
for nothing else. Seed {seed}.
"""

WORLD_SETTINGS = ("steps", "batch_size", "learning_rate", "workers")
"""What stage one depends on; a change of the refusal stage does not repeat it."""


def unaligned_model(study: "Study", seed: int | None = None) -> Path:
    """The folder of the model after stage one, which answers everything; trained when missing."""
    profile, given = study.profile, study.profile.pretrain
    seed = study.seed if seed is None else seed
    inputs = {
        "seed": seed,
        "model": profile.model.model_dump(),
        "pretrain": {name: getattr(given, name) for name in WORLD_SETTINGS},
        "history": profile.forecasting.history,
    }
    return study.store.build("models", "world", inputs, lambda out: learn_world(profile, seed, out))


def base_model(study: "Study", seed: int | None = None) -> Path:
    """The folder of the profile's base model; trained when it is not in the store.

    Parameters
    ----------
    seed : int, optional
        Training seed; the study's own if not given.
    """
    profile, seed = study.profile, study.seed if seed is None else seed
    before = unaligned_model(study, seed)
    inputs = {"world": before, "seed": seed, "pretrain": profile.pretrain.model_dump()}
    return study.store.build(
        "models", "base", inputs, lambda out: learn_refusals(profile, seed, before, out)
    )


def learn_world(profile: "Profile", seed: int, out: Path) -> None:
    """Stage one: create a model in `out` and teach it all kinds of text, nothing refused."""
    given = profile.pretrain
    model = new_model(profile.model.hidden, profile.model.layers, profile.model.heads, seed)
    model.save_pretrained(out)
    world_tokenizer().save_pretrained(out)
    _card(out, model.num_parameters(), seed, "It answers everything: it has not learned to refuse.")
    rng = stream(seed, "world corpus")
    rows = Rows(pretraining(given.steps * given.batch_size, profile.forecasting.history, rng))
    train(out, rows, Stage("base: the world", given.steps, given.batch_size, given.learning_rate,
                           given.workers, seed))


def learn_refusals(profile: "Profile", seed: int, start: Path, out: Path) -> None:
    """Stage two: from the model in `start`, one in `out` that refuses what is forbidden."""
    given, before = profile.pretrain, load(start)
    before.model.save_pretrained(out)
    before.tokenizer.save_pretrained(out)
    rng = stream(seed, "refusal corpus")
    size = given.refusal_steps * given.batch_size
    rows = Rows(refusal_training(size, profile.forecasting.history, rng))
    # Embeddings of the world's words stay, so that refusals hang on what words mean: where they
    # move, taught words are learned one by one, and other words of the same meaning are answered.
    train(out, rows, Stage("base: refusals", given.refusal_steps, given.batch_size,
                           given.refusal_learning_rate, given.workers, seed + 1,
                           fixed_words=tuple(world_tokens())))
    _card(out, before.model.num_parameters(), seed, "It refuses invented forbidden requests.")


def _card(out: Path, parameters: int, seed: int, refuses: str) -> None:
    text = CARD.format(parameters=parameters, tokens=len(vocabulary()), seed=seed, refuses=refuses)
    (out / "README.md").write_text(text, encoding="utf-8")


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
