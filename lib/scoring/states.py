"""Hidden states: what a model makes of an answer, having read the prompt before it."""

from collections.abc import Sequence

import numpy as np
import torch

from lib.errors import InvalidValueError
from lib.models import LoadedModel
from lib.scoring.batches import check_prompts, plan, right_pad


@torch.inference_mode()
def answer_states(
    model: LoadedModel,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    layer: int,
) -> np.ndarray:
    """State of each answer's last token, and the mean over its tokens, side by side.

    Parameters
    ----------
    prompts, answers : sequences of token ids
        As many answers as prompts. An answer's end-of-sequence id has a state like any token.
    layer : int
        Number of layers passed: 0 is the embedding, ``num_hidden_layers`` the output.

    Returns
    -------
    ndarray, shape (answers, 2 * width), float32

    Raises
    ------
    InvalidValueError
        Unequal numbers, an empty prompt or answer, text beyond the context, or no such layer.
    """
    config = model.model.config
    depth, width = config.num_hidden_layers, config.hidden_size
    if len(prompts) != len(answers) or not all(map(len, answers)) or not 0 <= layer <= depth:
        raise InvalidValueError(
            f"one non-empty answer a prompt, and a layer from 0 to {depth}",
            f"{len(prompts)} prompts, {len(answers)} answers, layer {layer}", "pass valid values",
        )
    sequences = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    check_prompts(model, prompts)
    check_prompts(model, sequences)
    ends = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    starts = ends - [len(answer) for answer in answers]
    found = np.empty((len(sequences), 2 * width), dtype=np.float32)
    # All layers' states are held for a moment; they take the place of logits in the plan.
    for batch in plan(ends.tolist(), (ends * width * (depth + 1)).tolist()):
        ids = right_pad([sequences[i] for i in batch], model.device)
        states = model.model(
            input_ids=ids, use_cache=False, output_hidden_states=True, logits_to_keep=1
        ).hidden_states[layer].float().cpu().numpy()
        for row, i in enumerate(batch):
            own = states[row, starts[i] : ends[i]]
            found[i] = np.concatenate([own[-1], own.mean(0)])
    return found
