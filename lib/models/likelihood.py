"""Log-likelihoods of given answers, and of candidates for the next token.

Hidden states: what a model makes of an answer, having read the prompt before it.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from lib.errors import InvalidValueError
from lib.models.batches import check_prompts, plan, right_pad
from lib.models.folders import LoadedModel


@torch.inference_mode()
def sequence_logprobs(
    model: LoadedModel, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
) -> pd.DataFrame:
    """Log-likelihood of each answer after its prompt, ``sum_t log p(a_t | prompt, a_<t)``.

    Parameters
    ----------
    prompts, answers : sequences of token ids
        As many answers as prompts. Add the end-of-sequence id to an answer to score its end too.

    Returns
    -------
    DataFrame
        ``logprob`` (float, nats, summed over the answer's tokens) and ``tokens`` (int), in input
        order.

    Raises
    ------
    InvalidValueError
        Unequal numbers, an empty prompt or answer, or a sequence beyond the model's context.
    """
    if len(prompts) != len(answers) or not all(map(len, answers)):
        raise InvalidValueError(
            "one non-empty answer a prompt",
            f"{len(prompts)} prompts, {len(answers)} answers",
            "pair each prompt with the tokens to score",
        )
    sequences = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    check_prompts(model, prompts)
    check_prompts(model, sequences)
    tokens = np.array([len(answer) for answer in answers], dtype=np.int64)
    vocabulary = model.model.config.vocab_size
    logprob = np.empty(len(sequences))
    for batch in plan([len(s) for s in sequences], (tokens + 1) * vocabulary):
        logprob[batch] = _answer_logprobs(model, [sequences[i] for i in batch], tokens[batch])
    return pd.DataFrame({"logprob": logprob, "tokens": tokens})


def _answer_logprobs(
    model: LoadedModel, sequences: list[list[int]], tokens: np.ndarray
) -> np.ndarray:
    ids = right_pad(sequences, model.device)  # (batch, longest)
    ends = np.array([len(s) for s in sequences])
    # The logit at position t speaks about the token at t + 1:
    #   position   0  1  2  3  4  5
    #   token      p  p  p  a  a  a        answer of 3, end = 6
    #   its logit        ^  ^  ^           positions end-4 .. end-2
    first = int((ends - tokens).min()) - 1
    logits = model.model(
        input_ids=ids, use_cache=False, logits_to_keep=ids.shape[1] - first
    ).logits[:, :-1]
    positions = np.arange(first + 1, ids.shape[1])
    scored = (positions >= (ends - tokens)[:, None]) & (positions < ends[:, None])
    scored = torch.from_numpy(scored).to(ids.device)
    losses = functional.cross_entropy(
        logits[scored].float(), ids[:, first + 1 :][scored], reduction="none"
    )
    sums = np.zeros(len(sequences))
    np.add.at(sums, np.repeat(np.arange(len(tokens)), tokens), -losses.double().cpu().numpy())
    return sums


@torch.inference_mode()
def next_token_logprobs(
    model: LoadedModel, prompts: Sequence[Sequence[int]], candidates: Sequence[int]
) -> np.ndarray:
    """Log-probabilities of candidate tokens right after each prompt.

    Normalised over the whole vocabulary, so that ``exp`` of a row sums to at most one.

    Parameters
    ----------
    candidates : sequence of int
        Token ids.

    Returns
    -------
    ndarray of float, shape (prompts, candidates)

    Raises
    ------
    InvalidValueError
        An empty prompt, or one beyond the model's context.
    """
    check_prompts(model, prompts)
    result = np.empty((len(prompts), len(candidates)))
    for batch, logits in last_logits(model, prompts):
        logprobs = logits - logits.logsumexp(-1, keepdim=True)
        result[batch] = logprobs[:, list(candidates)].cpu().numpy()
    return result


def last_logits(model: LoadedModel, prompts: Sequence[Sequence[int]]):
    """Yield (positions of prompts, float32 logits after each prompt) batch by batch."""
    lengths = [len(prompt) for prompt in prompts]
    cost = [model.model.config.vocab_size] * len(prompts)
    for batch in plan(lengths, cost, spread=0):  # equal lengths: one position to project
        ids = right_pad([prompts[i] for i in batch], model.device)
        logits = model.model(input_ids=ids, use_cache=False, logits_to_keep=1).logits
        yield batch, logits[:, -1].float()


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
