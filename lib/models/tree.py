"""All continuations of a prompt at once: a prefix tree behind a cache.

Prompts are read once. Then every inner node of the trees is one query of a single further pass;
it sees its prompt and its own ancestors, nothing else, and sits at ``prompt + depth``. Prompts and
trees of a batch may differ, and so may their lengths::

    cache (first pass)        queries (second pass): last token of the prompt, then inner nodes
    The boy ran . Q : A       :    " The"   " No"         for "The boy", "The girl", "No one"
    Mom sat . Q : A (pad)     :    " She"   (pad)         for "She sat", "No"

So the prompt's keys and values are never copied for the branches, and each node's logits equal
those of a plain forward pass over its path. Padding of the cache is masked for the queries. A
continuation's last token is a query only where it matters what follows it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from transformers import DynamicCache

from lib.errors import require
from lib.models.batches import check_prompts, chunks, plan, right_pad
from lib.models.folders import LoadedModel, Tokenizer

SEQUENCES_A_PASS = 256
QUERIES_A_PART = 16
LIKELY = 0.5
"""Probability of a further digit above which one minus it would lose digits of its own."""


@dataclass(frozen=True)
class Tree:
    """Prefix tree over token sequences; node 0 is the end of the prompt, without a token."""

    tokens: np.ndarray  # one a node
    parents: np.ndarray  # one a node
    depths: np.ndarray  # one a node; 0 at the root
    leaves: np.ndarray  # one a sequence: the node at which it ends

    @classmethod
    def of(cls, sequences: Sequence[tuple[int, ...]]) -> "Tree":
        """Build the tree; a parent always comes before its children."""
        index, parents, depths = {(): 0}, [0], [0]
        for sequence in sequences:
            for depth in range(1, len(sequence) + 1):
                if sequence[:depth] not in index:
                    index[sequence[:depth]] = len(parents)
                    parents.append(index[sequence[: depth - 1]])
                    depths.append(depth)
        tokens = [path[-1] if path else 0 for path in index]
        leaves = [index[sequence] for sequence in sequences]
        return cls(*map(np.array, (tokens, parents, depths, leaves)))

    @cached_property
    def sees(self) -> np.ndarray:
        """Boolean (nodes, nodes): row sees column, if it is the node itself or an ancestor."""
        sees = np.eye(len(self.tokens), dtype=bool)
        for node in range(1, len(self.tokens)):
            sees[node] |= sees[self.parents[node]]
        return sees

    @cached_property
    def inner(self) -> np.ndarray:
        """Nodes that have children, the root first."""
        return np.unique(self.parents)


@dataclass(frozen=True)
class _Branches:
    """A prompt with the tree of its continuations; ``asked`` are the nodes that are queries."""

    prompt: Sequence[int]
    tree: Tree
    asked: np.ndarray

    @property
    def queries(self) -> np.ndarray:
        """Tokens of the nodes that are asked; the root's is the prompt's last."""
        return np.r_[self.prompt[-1], self.tree.tokens[self.asked[1:]]]


def digit_ids(tokenizer: Tokenizer, after: int) -> list[int]:
    """Tokens that, joined to token ``after``, begin with a digit; none where words are tokens."""
    texts = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    # Byte-level spellings keep digits as they are; SentencePiece has byte tokens for them too.
    maybe = [i for i, text in enumerate(texts) if text and re.match(r"[0-9]|<0x3[0-9]>", text)]
    start = len(tokenizer.decode([after]))
    pairs = tokenizer.batch_decode([[after, i] for i in maybe], clean_up_tokenization_spaces=False)
    return [i for i, text in zip(maybe, pairs, strict=True) if re.match("[0-9]", text[start:])]


def tree_logprobs(
    model: LoadedModel,
    prompts: Sequence[Sequence[int]],
    sequences: Sequence[tuple[int, ...]],
    banned: Sequence[int] = (),
) -> np.ndarray:
    """`branch_logprobs` of the same sequences behind every prompt, (prompts, sequences)."""
    parts = [sequences[part] for part in chunks(len(sequences), SEQUENCES_A_PASS)]
    return np.hstack([
        np.reshape(branch_logprobs(model, prompts, [part] * len(prompts), banned), (-1, len(part)))
        for part in parts
    ])


def branch_logprobs(
    model: LoadedModel,
    prompts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[tuple[int, ...]]],
    banned: Sequence[int] = (),
) -> list[np.ndarray]:
    """Log-probability of each continuation s of each prompt, followed by no ``banned`` token.

    ``sum_t log p(s_t | prompt, s_<t) + log(1 - p(banned | prompt, s))`` in nats.
    """
    sizes = [len(sequence) for given in continuations for sequence in given]
    require(all(sizes) and all(map(len, continuations)),
            "continuations with tokens for each prompt", "none, or an empty one", "remove it")
    check_prompts(model, prompts, extra=max(sizes, default=0))
    rows = _branches(prompts, continuations, bool(banned))
    nodes = np.array([len(row.asked) for row in rows], dtype=int)
    lengths = [len(row.prompt) + n for row, n in zip(rows, nodes, strict=True)]
    result: list[np.ndarray] = [np.empty(0)] * len(rows)
    for batch in plan(lengths, nodes * model.model.config.vocab_size):
        found = _paths(model, [rows[i] for i in batch], list(banned))
        for i, logprobs in zip(batch, found, strict=True):
            result[i] = logprobs
    return result


def _branches(
    prompts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[tuple[int, ...]]],
    leaves: bool,
) -> list[_Branches]:
    """Prompts with their trees, of which equal ones are one; with `leaves` all nodes are asked."""
    trees = {given: Tree.of(given) for given in dict.fromkeys(map(tuple, continuations))}
    own = [trees[tuple(given)] for given in continuations]
    return [_Branches(prompt, tree, np.arange(len(tree.tokens)) if leaves else tree.inner)
            for prompt, tree in zip(prompts, own, strict=True)]


@torch.inference_mode()
def _paths(
    model: LoadedModel, rows: Sequence[_Branches], banned: list[int]
) -> list[np.ndarray]:
    """`branch_logprobs` of one batch."""
    logits = _logits(model, rows)  # (rows, queries, vocabulary)
    normaliser, device = _logsumexp(logits), logits.device
    row = torch.arange(len(rows), device=device)[:, None]
    parents = right_pad([np.searchsorted(r.asked, r.tree.parents) for r in rows], device)
    tokens = right_pad([r.tree.tokens for r in rows], device)
    steps = (logits[row, parents, tokens] - normaliser[row, parents]).double().cpu().numpy()
    paths = [r.tree.sees[r.tree.leaves][:, 1:] @ step[1 : len(r.tree.tokens)]
             for r, step in zip(rows, steps, strict=True)]
    if not banned:
        return paths
    leaves = right_pad([r.tree.leaves for r in rows], device)
    stops = _stops(logits, normaliser, row, leaves, banned).cpu().numpy()
    return [path + stop[: len(path)] for path, stop in zip(paths, stops, strict=True)]


def _logsumexp(logits: torch.Tensor) -> torch.Tensor:
    """Over the vocabulary, in parts that the processor's cache holds: a fifth of the time saved."""
    return torch.cat([part.logsumexp(-1) for part in logits.split(QUERIES_A_PART, 1)], 1)


def _stops(
    logits: torch.Tensor, normaliser: torch.Tensor, row: torch.Tensor, leaves: torch.Tensor,
    banned: list[int],
) -> torch.Tensor:
    """Log-probability that none of `banned` follows each leaf, (rows, leaves), float64."""
    ids = torch.tensor(banned, device=logits.device)
    each = logits[row[..., None], leaves[..., None], ids] - normaliser[row, leaves][..., None]
    follows = each.double().exp().sum(-1)
    stops = torch.log1p(-follows.clamp(max=LIKELY))
    # Where it cancels, sum what may follow, not one minus what may not.
    where, which = (follows > LIKELY).nonzero(as_tuple=True)
    nodes = leaves[where, which]
    ends = logits[where, nodes]
    ends[:, ids] = -torch.inf
    stops[where, which] = (ends.logsumexp(-1) - normaliser[where, nodes]).double()
    return stops


def _logits(model: LoadedModel, rows: Sequence[_Branches]) -> torch.Tensor:
    """Float32 logits behind every query, (rows, queries, vocabulary)."""
    before = [row.prompt[:-1] for row in rows]
    cache, longest = DynamicCache(config=model.model.config), max(map(len, before))
    if longest:
        ids = right_pad(before, model.device)
        model.model(input_ids=ids, cache=cache, use_cache=True, logits_to_keep=1)
    depths = [len(row.prompt) - 1 + row.tree.depths[row.asked] for row in rows]
    return model.model(
        input_ids=right_pad([row.queries for row in rows], model.device),
        attention_mask=_mask(rows, longest, model.model.dtype).to(model.device),
        position_ids=right_pad(depths, model.device), cache=cache, use_cache=True,
    ).logits.float()


def _mask(rows: Sequence[_Branches], longest: int, dtype: torch.dtype) -> torch.Tensor:
    """(rows, 1, queries, keys): 0 where a query sees a key, else the least number."""
    most = max(len(row.asked) for row in rows)
    sees = np.zeros((len(rows), most, longest + most), dtype=bool)
    sees[:, range(most), range(longest, longest + most)] = True  # padding must see something
    for seen, row in zip(sees, rows, strict=True):
        seen[:, : len(row.prompt) - 1] = True
        n = len(row.asked)
        seen[:n, longest : longest + n] = row.tree.sees[np.ix_(row.asked, row.asked)]
    mask = torch.zeros(sees.shape, dtype=dtype)
    return mask.masked_fill_(torch.from_numpy(~sees), torch.finfo(dtype).min)[:, None]
