"""All continuations of a prompt at once: a prefix tree behind a shared cache.

The prompt is read once. Then every node of the tree is one query of a single further pass; it
sees the prompt and its own ancestors, nothing else, and sits at the position ``prompt + depth``::

    prompt ──► " 1" ──► "2"        queries      " 1"  "2"  "3"  " 4"
          │       └───► "3"        depth          0    1    1     0
          └──► " 4"                "3" sees       x         x         (and the prompt)

So the prompt's keys and values are never copied for the branches, as expanding it over the
batch would, and each node's logits equal those of a plain forward pass over its path.

Several continuations of each prompt, where every prompt has its own: each is read once.

As in `lib.models.tree`, the continuations of a prompt are a prefix tree behind a cache. Here the
trees of a batch differ, and so do the lengths of its prompts::

    cache (first pass)        queries (second pass): last token of the prompt, then inner nodes
    The boy ran . Q : A       :    " The"   " No"         for "The boy", "The girl", "No one"
    Mom sat . Q : A (pad)     :    " She"   (pad)         for "She sat", "No"

Padding on the right of the cache is masked for the queries. A continuation's last token is never
a query: nothing is asked of what follows it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from transformers import DynamicCache

from lib.errors import InvalidValueError
from lib.models.batches import MAX_LOGITS, MAX_TOKENS, check_prompts, chunks, plan, right_pad
from lib.models.folders import LoadedModel, Tokenizer

SPELLINGS_A_PASS = 256


@dataclass(frozen=True)
class Tree:
    """Prefix tree over token sequences; node 0 is the end of the prompt.

    Attributes
    ----------
    tokens, parents, depths : ndarray of int, shape (nodes,)
        The root has depth 0 and no token of its own.
    leaves : ndarray of int, shape (sequences,)
        Node at which each sequence ends.
    """

    tokens: np.ndarray
    parents: np.ndarray
    depths: np.ndarray
    leaves: np.ndarray

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

    def ancestry(self) -> np.ndarray:
        """Boolean (nodes, nodes): row sees column, if it is the node itself or an ancestor."""
        sees = np.eye(len(self.tokens), dtype=bool)
        for node in range(1, len(self.tokens)):
            sees[node] |= sees[self.parents[node]]
        return sees


def digit_ids(tokenizer: Tokenizer, after: int) -> list[int]:
    """Tokens that would make a number longer: joined to token ``after``, they begin with a digit.

    None in a word-level vocabulary, which puts a space between any two tokens.
    """
    texts = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    # Byte-level spellings keep digits as they are; SentencePiece has byte tokens for them too.
    maybe = [i for i, text in enumerate(texts) if text and re.match(r"[0-9]|<0x3[0-9]>", text)]
    start = len(tokenizer.decode([after]))
    pairs = tokenizer.batch_decode([[after, i] for i in maybe], clean_up_tokenization_spaces=False)
    return [i for i, text in zip(maybe, pairs, strict=True) if re.match("[0-9]", text[start:])]


@torch.inference_mode()
def tree_logprobs(
    model: LoadedModel,
    prompts: Sequence[Sequence[int]],
    sequences: Sequence[tuple[int, ...]],
    banned: Sequence[int],
) -> np.ndarray:
    """Log-probability of each sequence, followed by none of the ``banned`` tokens.

    ``sum_t log p(s_t | prompt, s_<t) + log(1 - p(banned | prompt, s))``, in nats.

    Returns
    -------
    ndarray of float, shape (prompts, sequences)
    """
    check_prompts(model, prompts, extra=max(map(len, sequences)))
    trees = [(part, Tree.of(sequences[part])) for part in chunks(len(sequences), SPELLINGS_A_PASS)]
    nodes = max(len(tree.tokens) for _, tree in trees)
    vocabulary = model.model.config.vocab_size
    result = np.empty((len(prompts), len(sequences)))
    for group in plan([len(p) for p in prompts], [1] * len(prompts), spread=0):
        size = min(MAX_LOGITS // (nodes * vocabulary), MAX_TOKENS // nodes)
        for batch in (group[part] for part in chunks(len(group), size)):
            ids = right_pad([prompts[i] for i in batch], model.device)
            cache = DynamicCache(config=model.model.config)
            root = model.model(input_ids=ids, cache=cache, use_cache=True, logits_to_keep=1).logits
            for part, tree in trees:
                logits = torch.cat([root, _branch_logits(model, cache, tree, ids)], dim=1)
                result[batch, part] = _path_logprobs(logits.float(), tree, banned)
    return result


def _branch_logits(
    model: LoadedModel, cache: DynamicCache, tree: Tree, prompts: torch.Tensor
) -> torch.Tensor:
    """Logits at all nodes but the root, (batch, nodes - 1, vocabulary); leaves the cache as is."""
    rows, length = prompts.shape
    sees = torch.from_numpy(tree.ancestry()[1:, 1:])
    sees = torch.cat([torch.ones(len(sees), length, dtype=torch.bool), sees], dim=1)
    mask = torch.zeros(sees.shape, dtype=model.model.dtype)
    mask.masked_fill_(~sees, torch.finfo(mask.dtype).min)
    tokens = torch.from_numpy(tree.tokens[1:]).expand(rows, -1)
    positions = torch.from_numpy(length + tree.depths[1:] - 1).expand(rows, -1)
    logits = model.model(
        input_ids=tokens.to(prompts.device),
        attention_mask=mask.expand(rows, 1, -1, -1).to(prompts.device),
        position_ids=positions.to(prompts.device),
        cache=cache,
        use_cache=True,
    ).logits
    cache.crop(-tokens.shape[1])
    return logits


def _path_logprobs(logits: torch.Tensor, tree: Tree, banned: Sequence[int]) -> np.ndarray:
    """Sum log-probabilities from the root to each leaf; shape (batch, sequences)."""
    normaliser = logits.logsumexp(-1)  # (batch, nodes)
    step = logits[:, tree.parents, tree.tokens] - normaliser[:, tree.parents]
    step = step.double().cpu().numpy()
    path = np.zeros_like(step)
    for node in range(1, len(tree.tokens)):
        path[:, node] = path[:, tree.parents[node]] + step[:, node]
    # Sum what may follow, not one minus what may not: no cancellation when digits are likely.
    ends = logits[:, tree.leaves]
    ends[:, :, list(banned)] = -torch.inf
    stop = ends.logsumexp(-1) - normaliser[:, tree.leaves]
    return path[:, tree.leaves] + stop.double().cpu().numpy()


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
