"""Log-likelihoods of answers, and what a model makes of an answer inside (its hidden states).

Prompts are text (`lib.models.chat.Prompt`), or token ids; so are answers, of the same kind.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from lib.errors import require
from lib.models.batches import check_prompts, plan, right_pad
from lib.models.chat import Example, Prompt, Prompts, encoded, encoded_answers, tokenised
from lib.models.folders import LoadedModel
from lib.models.tree import branch_logprobs

Answers = Sequence[str] | Sequence[Sequence[int]]
"""One answer a prompt."""


@torch.inference_mode()
def sequence_logprobs(model: LoadedModel, prompts: Prompts, answers: Answers) -> pd.DataFrame:
    """``logprob``: ``sum_t log p(a_t | prompt, a_<t)`` in nats, and ``tokens`` of each answer."""
    prompts, answers = _paired(model, prompts, answers)
    sequences = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    check_prompts(model, sequences)
    tokens = np.array([len(answer) for answer in answers], dtype=np.int64)
    vocabulary = model.model.config.vocab_size
    logprob = np.empty(len(sequences))
    for batch in plan([len(s) for s in sequences], (tokens + 1) * vocabulary):
        logprob[batch] = _answer_logprobs(model, [sequences[i] for i in batch], tokens[batch])
    return pd.DataFrame({"logprob": logprob, "tokens": tokens})


def example_logprobs(model: LoadedModel, examples: Sequence[Example]) -> pd.DataFrame:
    """`sequence_logprobs` of examples, the end of those that end included."""
    asked = tokenised(model.tokenizer, examples)
    return sequence_logprobs(model, [e.prompt for e in asked], [e.answer for e in asked])


def _paired(
    model: LoadedModel, prompts: Prompts, answers: Answers
) -> tuple[list[Sequence[int]], list[Sequence[int]]]:
    """Ids of prompts and answers, one answer that is not empty to each prompt."""
    require(len(prompts) == len(answers) and all(map(len, answers)),
            "one non-empty answer a prompt", f"{len(prompts)} prompts, {len(answers)} answers",
            "pair each prompt with what is to be scored")
    if answers and isinstance(answers[0], str):
        answers = encoded_answers(model.tokenizer, prompts, answers)
    ids = encoded(model.tokenizer, prompts)
    check_prompts(model, ids)
    return ids, list(answers)


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
    keep = ids.shape[1] - first
    logits = model.model(input_ids=ids, use_cache=False, logits_to_keep=keep).logits[:, :-1]
    positions = np.arange(first + 1, ids.shape[1])
    scored = (positions >= (ends - tokens)[:, None]) & (positions < ends[:, None])
    scored = torch.from_numpy(scored).to(ids.device)
    losses = functional.cross_entropy(
        logits[scored].float(), ids[:, first + 1 :][scored], reduction="none"
    )
    sums = np.zeros(len(sequences))
    np.add.at(sums, np.repeat(np.arange(len(tokens)), tokens), -losses.double().cpu().numpy())
    return sums


def answer_logprobs(
    model: LoadedModel, prompts: Sequence[Prompt], answers: Sequence[str]
) -> np.ndarray:
    """``log p(answer | prompt)`` of several short answers to every prompt, (prompts, answers)."""
    prompted, result = encoded(model.tokenizer, prompts), np.empty((len(prompts), len(answers)))
    spelt = encoded_answers(model.tokenizer, [p for p in prompts for _ in answers],
                            [answer for _ in prompts for answer in answers])
    unk = model.tokenizer.unk_token_id
    unknown = [answer for answer, ids in zip(answers, spelt, strict=False) if unk in ids]
    require(not unknown, "answers that the vocabulary can spell", ", ".join(unknown), "reword them")
    ways: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for i in range(len(prompts)):
        way = tuple(map(tuple, spelt[i * len(answers) : (i + 1) * len(answers)]))
        ways.setdefault(way, []).append(i)
    for way, rows in ways.items():
        asked = [prompted[i] for i in rows]
        if all(len(answer) == 1 for answer in way):  # one pass, as in the planted world
            result[rows] = next_token_logprobs(model, asked, [answer[0] for answer in way])
        else:
            result[rows] = branch_logprobs(model, asked, [way] * len(rows))
    return result


@torch.inference_mode()
def next_token_logprobs(
    model: LoadedModel, prompts: Prompts, candidates: Sequence[int]
) -> np.ndarray:
    """Log-probabilities of tokens right after each prompt, shape (prompts, candidates)."""
    ids = encoded(model.tokenizer, prompts)
    check_prompts(model, ids)
    result = np.empty((len(ids), len(candidates)))
    for batch, logits in _last_logits(model, ids):
        logprobs = logits - logits.logsumexp(-1, keepdim=True)
        result[batch] = logprobs[:, list(candidates)].cpu().numpy()
    return result


def _last_logits(
    model: LoadedModel, prompts: Sequence[Sequence[int]]
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Positions of prompts and the float32 logits after each, batch by batch."""
    lengths = [len(prompt) for prompt in prompts]
    cost = [model.model.config.vocab_size] * len(prompts)
    for batch in plan(lengths, cost, spread=0):  # equal lengths: one position to project
        ids = right_pad([prompts[i] for i in batch], model.device)
        logits = model.model(input_ids=ids, use_cache=False, logits_to_keep=1).logits
        yield batch, logits[:, -1].float()


@torch.inference_mode()
def answer_states(model: LoadedModel, prompts: Prompts, answers: Answers, layer: int) -> np.ndarray:
    """State of each answer's last token, beside the mean over all, after `layer` layers.

    Shape (answers, 2 * width), float32; layer 0 is the embedding.
    """
    config = model.model.config
    depth, width = config.num_hidden_layers, config.hidden_size
    require(0 <= layer <= depth, f"a layer from 0 to {depth}", str(layer), "pass a valid one")
    prompts, answers = _paired(model, prompts, answers)
    sequences = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
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
