"""Several continuations of each prompt, where every prompt has its own: each is read once.

As in `lib.scoring.tree`, the continuations of a prompt are a prefix tree behind a cache. Here the
trees of a batch differ, and so do the lengths of its prompts::

    cache (first pass)        queries (second pass): last token of the prompt, then inner nodes
    The boy ran . Q : A       :    " The"   " No"         for "The boy", "The girl", "No one"
    Mom sat . Q : A (pad)     :    " She"   (pad)         for "She sat", "No"

Padding on the right of the cache is masked for the queries. A continuation's last token is never
a query: nothing is asked of what follows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from transformers import DynamicCache

from lib.errors import InvalidValueError
from lib.models import LoadedModel
from lib.scoring.batches import check_prompts, plan, right_pad
from lib.scoring.tree import Tree


@dataclass(frozen=True)
class _Branches:
    """A prompt with the tree of its continuations; ``asked`` are the nodes that have children."""

    prompt: Sequence[int]
    tree: Tree
    sees: np.ndarray
    asked: np.ndarray

    @classmethod
    def of(cls, prompt: Sequence[int], sequences: Sequence[tuple[int, ...]]) -> "_Branches":
        tree = Tree.of(sequences)
        return cls(prompt, tree, tree.ancestry(), np.unique(tree.parents))

    @property
    def queries(self) -> np.ndarray:
        """Tokens of the nodes that are asked; the root's is the prompt's last."""
        return np.r_[self.prompt[-1], self.tree.tokens[self.asked[1:]]]


def branch_logprobs(
    model: LoadedModel,
    prompts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[tuple[int, ...]]],
) -> list[np.ndarray]:
    """``sum_t log p(s_t | prompt, s_<t)`` of each continuation s of each prompt, in nats.

    Parameters
    ----------
    prompts : sequence of token ids
    continuations : sequence of sequences of token ids
        At least one for each prompt, each of at least one token.

    Returns
    -------
    list of ndarray of float
        One array a prompt, one number a continuation.

    Raises
    ------
    InvalidValueError
        An empty prompt or continuation, a prompt without any, or one that with the longest
        continuation exceeds the model's context.
    """
    sizes = [len(sequence) for given in continuations for sequence in given]
    if not all(sizes) or not all(map(len, continuations)):
        raise InvalidValueError(
            "continuations with tokens for each prompt", "none, or an empty one", "remove it"
        )
    check_prompts(model, prompts, extra=max(sizes, default=0))
    rows = [_Branches.of(p, s) for p, s in zip(prompts, continuations, strict=True)]
    nodes = np.array([len(row.asked) for row in rows], dtype=int)
    lengths = [len(row.prompt) + n for row, n in zip(rows, nodes, strict=True)]
    result: list[np.ndarray] = [np.empty(0)] * len(rows)
    for batch in plan(lengths, nodes * model.model.config.vocab_size):
        found = _steps(model, [rows[i] for i in batch])
        for i, steps in zip(batch, found, strict=True):
            tree = rows[i].tree
            result[i] = rows[i].sees[tree.leaves][:, 1:] @ steps[1 : len(tree.tokens)]
    return result


@torch.inference_mode()
def _steps(model: LoadedModel, rows: Sequence[_Branches]) -> np.ndarray:
    """``log p(node | its ancestors and the prompt)``, shape (rows, nodes); nothing at the root."""
    logits = _logits(model, rows)  # (rows, queries, vocabulary)
    parents = _stacked([np.searchsorted(row.asked, row.tree.parents) for row in rows])
    tokens = _stacked([row.tree.tokens for row in rows])
    row = np.arange(len(rows))[:, None]
    steps = logits[row, parents, tokens] - logits.logsumexp(-1)[row, parents]
    return steps.double().cpu().numpy()


def _logits(model: LoadedModel, rows: Sequence[_Branches]) -> torch.Tensor:
    before = [row.prompt[:-1] for row in rows]
    cache, longest = DynamicCache(config=model.model.config), max(map(len, before))
    if longest:
        ids = right_pad(before, model.device)
        model.model(input_ids=ids, cache=cache, use_cache=True, logits_to_keep=1)
    depths = [len(row.prompt) - 1 + row.tree.depths[row.asked] for row in rows]
    return model.model(
        input_ids=torch.from_numpy(_stacked([row.queries for row in rows])).to(model.device),
        attention_mask=_mask(rows, longest, model.model.dtype).to(model.device),
        position_ids=torch.from_numpy(_stacked(depths)).to(model.device),
        cache=cache,
        use_cache=True,
    ).logits.float()


def _mask(rows: Sequence[_Branches], longest: int, dtype: torch.dtype) -> torch.Tensor:
    """0 where a query sees a key (prompt, ancestors, itself), else the least number.

    Shape (rows, 1, queries, keys).
    """
    most = max(len(row.asked) for row in rows)
    sees = np.zeros((len(rows), most, longest + most), dtype=bool)
    sees[:, range(most), range(longest, longest + most)] = True  # padding must see something
    for seen, row in zip(sees, rows, strict=True):
        seen[:, : len(row.prompt) - 1] = True
        n = len(row.asked)
        seen[:n, longest : longest + n] = row.sees[np.ix_(row.asked, row.asked)]
    mask = torch.zeros(sees.shape, dtype=dtype)
    return mask.masked_fill_(torch.from_numpy(~sees), torch.finfo(dtype).min)[:, None]


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of whole numbers as one array, zeros after the shorter ones."""
    return np.array(list(zip_longest(*rows, fillvalue=0)), dtype=np.int64).T
