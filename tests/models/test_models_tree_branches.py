"""Truth: a plain, unbatched forward pass over each path; and the other routes of `lib.models`."""

import numpy as np
import pytest
import torch

from lib.errors import InvalidValueError
from lib.models.batches import plan
from lib.models.likelihood import sequence_logprobs
from lib.models.tree import branch_logprobs, tree_logprobs

PROMPTS = [[5, 6, 7], [8], [9, 5, 6], [4] * 30, [4] * 28]
BRANCHES = [
    [(7,), (7, 3), (7, 3, 2), (9, 3)],  # one inside another
    [(2, 2, 2, 2)],
    [(3,), (3,), (5,)],                 # the same twice
    [(6, 7, 8), (6, 7, 9), (6, 10)],
    [(i,) for i in range(12)],          # nothing but leaves
]


@torch.no_grad()
def plain(model, prompt, sequence):
    table = model.model(torch.tensor([[*prompt, *sequence]])).logits[0].double().log_softmax(-1)
    return sum(table[len(prompt) + t - 1, token].item() for t, token in enumerate(sequence))


def flat(arrays):
    return np.concatenate(arrays)


def test_branches_equal_plain_paths(model):
    found = branch_logprobs(model, PROMPTS, BRANCHES)
    assert [len(row) for row in found] == [4, 1, 3, 3, 12]
    truth = [[plain(model, p, s) for s in row] for p, row in zip(PROMPTS, BRANCHES, strict=True)]
    np.testing.assert_allclose(flat(found), flat(truth), rtol=1e-5, atol=1e-5)


def test_branches_do_not_depend_on_company(model):
    alone = [branch_logprobs(model, [p], [b])[0] for p, b in zip(PROMPTS, BRANCHES, strict=True)]
    together = branch_logprobs(model, PROMPTS, BRANCHES)
    np.testing.assert_allclose(flat(together), flat(alone), rtol=1e-5, atol=1e-5)
    back = branch_logprobs(model, PROMPTS[::-1], BRANCHES[::-1])[::-1]
    np.testing.assert_allclose(flat(together), flat(back), rtol=1e-5, atol=1e-5)


def test_prompts_of_other_lengths_share_a_batch():
    """Or the test above would prove nothing about padding of the cache."""
    assert len(plan([len(p) + 2 for p in PROMPTS[:3]], [1] * 3)) == 1


def test_branches_equal_sequences_and_the_tree_of_all_prompts(model):
    sequences = [(7,), (7, 3), (9, 3)]
    found = np.array(branch_logprobs(model, PROMPTS, [sequences] * len(PROMPTS)))
    tree = tree_logprobs(model, PROMPTS, sequences, [])
    np.testing.assert_allclose(found, tree, rtol=1e-5, atol=1e-5)
    for column, sequence in zip(found.T, sequences, strict=True):
        one = sequence_logprobs(model, PROMPTS, [sequence] * len(PROMPTS))["logprob"]
        np.testing.assert_allclose(column, one, rtol=1e-5, atol=1e-5)


def test_next_tokens_sum_to_one(words):
    everything = [(i,) for i in range(words.model.config.vocab_size)]
    found = branch_logprobs(words, [[6, 7], [6]], [everything] * 2)
    assert np.exp(found).sum(axis=1) == pytest.approx(1, rel=1e-5)


def test_nothing_in_nothing_out(words):
    assert branch_logprobs(words, [], []) == []


def test_refusals(words):
    with pytest.raises(InvalidValueError, match="continuations with tokens"):
        branch_logprobs(words, [[6]], [[(7,), ()]])
    with pytest.raises(InvalidValueError, match="for each prompt"):
        branch_logprobs(words, [[6], [6]], [[(7,)], []])
    with pytest.raises(InvalidValueError, match="at least one token"):
        branch_logprobs(words, [[]], [[(7,)]])
    with pytest.raises(InvalidValueError, match="context"):
        branch_logprobs(words, [[5] * 127], [[(7, 7)]])
