"""Batched generation with a key-value cache and one random stream for each item.

A loop of our own: at the size of the sandbox's model, most of ``model.generate`` is overhead.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from lib.errors import require
from lib.models.batches import check_prompts, plan
from lib.models.chat import Prompts, encoded
from lib.models.folders import LoadedModel, Tokenizer
from lib.models.template import turn_end

PADDING_ALLOWED = 64
"""Spread of lengths in a batch: one longer batch costs less than many short loops."""


def generate(
    model: LoadedModel,
    prompts: Prompts,
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[str]:
    """Continue each prompt until a token that ends a turn or text, or ``max_new_tokens``.

    Parameters
    ----------
    prompts : sequence of Prompt, or of token ids
    temperature : float
        0 takes the likeliest token; otherwise tokens are drawn from ``softmax(logits / T)``.
    seed : int
        Draws depend on it, on the prompt, and on how many equal prompts precede it.

    Returns
    -------
    list of str
        The new text only, special tokens skipped, in input order.

    Raises
    ------
    InvalidValueError
        An empty prompt, text beyond the model's context, a negative temperature or length.
    """
    new = generate_ids(model, prompts, max_new_tokens, temperature, seed)
    return [said(model.tokenizer, ids) for ids in new]


def said(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """New tokens as text."""
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@torch.inference_mode()
def generate_ids(
    model: LoadedModel,
    prompts: Prompts,
    max_new_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[list[int]]:
    """`generate`, as token ids without the end: there are ``max_new_tokens`` where none came."""
    require(temperature >= 0 and max_new_tokens >= 1,
            "a temperature of at least 0 and at least one new token",
            f"temperature {temperature}, max_new_tokens {max_new_tokens}", "pass valid values")
    prompts = encoded(model.tokenizer, prompts)
    check_prompts(model, prompts, extra=max_new_tokens)
    draws = _uniforms(prompts, max_new_tokens, seed) if temperature else None
    lengths = [len(prompt) + max_new_tokens for prompt in prompts]
    cost = [model.model.config.vocab_size] * len(prompts)
    found, ends = [[]] * len(prompts), end_ids(model)
    for batch in plan(lengths, cost, spread=PADDING_ALLOWED):
        uniforms = draws[batch] if temperature else np.empty((len(batch), max_new_tokens))
        new = _continue(model, [prompts[i] for i in batch], uniforms, temperature, ends)
        for i, ids in zip(batch, new, strict=True):
            found[i] = ids
    return found


def _uniforms(prompts: Sequence[Sequence[int]], steps: int, seed: int) -> np.ndarray:
    """Uniform draws, shape (prompts, steps), one stream an item."""
    seen: Counter[tuple[int, ...]] = Counter()
    draws = np.empty((len(prompts), steps))
    for row, prompt in zip(draws, map(tuple, prompts), strict=True):
        row[:] = np.random.default_rng([seed, seen[prompt], *prompt]).random(steps)
        seen[prompt] += 1
    return draws


def _continue(
    model: LoadedModel,
    prompts: list[Sequence[int]],
    uniforms: np.ndarray,
    temperature: float,
    ends: set[int],
) -> list[list[int]]:
    """Token ids that follow each prompt of one batch, without the end token."""
    ids, mask = _left_pad(prompts, model.device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    ragged = not bool(mask.all())
    cache = DynamicCache(config=model.model.config)
    alive, new = np.arange(len(prompts)), [[] for _ in prompts]
    for step in range(uniforms.shape[1]):
        logits = model.model(
            input_ids=ids, attention_mask=mask if ragged else None, position_ids=positions,
            cache=cache, use_cache=True, logits_to_keep=1,
        ).logits[:, -1]
        tokens = _choose(logits, uniforms[alive, step], temperature)
        keep = [row for row, token in enumerate(tokens.tolist()) if token not in ends]
        for row in keep:
            new[alive[row]].append(int(tokens[row]))
        if not keep:
            break
        if len(keep) < len(alive):  # who has finished leaves, cache and all
            index = torch.tensor(keep, device=ids.device)
            cache.batch_select_indices(index)
            tokens, mask, positions = tokens[index], mask[index], positions[index]
            alive = alive[keep]
        ids, positions = tokens[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
    return new


def _left_pad(
    prompts: list[Sequence[int]], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, both (batch, longest), with every prompt ending in the last column."""
    rows = [torch.tensor(prompt, dtype=torch.long) for prompt in prompts]
    ids, mask = (
        pad_sequence(each, batch_first=True, padding_side="left").to(device)
        for each in (rows, [torch.ones_like(row) for row in rows])
    )
    return ids, mask


def _choose(logits: torch.Tensor, uniforms: np.ndarray, temperature: float) -> torch.Tensor:
    """One token a row: the likeliest, or the inverse of the distribution function at a draw."""
    if not temperature:
        return logits.argmax(-1)
    cumulative = (logits.double() / temperature).softmax(-1).cumsum(-1)
    draws = torch.from_numpy(uniforms).to(logits.device)[:, None]
    # Scaling by the last entry keeps a draw of 0.999... inside the vocabulary.
    return torch.searchsorted(cumulative, draws * cumulative[:, -1:], right=True)[:, 0].clamp(
        max=logits.shape[-1] - 1
    )


def end_ids(model: LoadedModel) -> set[int]:
    """Ids that end a generation: of the tokenizer, of the model's configuration, of a turn."""
    configured = getattr(model.model.generation_config, "eos_token_id", None)
    several = configured if isinstance(configured, list) else [configured]
    ends = [model.tokenizer.eos_token_id, turn_end(model.tokenizer), *several]
    return {i for i in ends if i is not None}
