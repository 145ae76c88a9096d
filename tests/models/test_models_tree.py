"""Truth: a plain, unbatched forward pass over each path; and the other routes of `lib.models`."""

import numpy as np
import pytest
import torch

from lib.errors import InvalidValueError
from lib.models.batches import plan
from lib.models.likelihood import sequence_logprobs
from lib.models.tree import Tree, branch_logprobs, digit_ids, tree_logprobs

SEQUENCES = [(7,), (7, 3), (7, 3, 2), (9, 3)]
PROMPTS = [[5, 6, 7], [8], [9, 5, 6], [4] * 30, [4] * 28]
BRANCHES = [
    [(7,), (7, 3), (7, 3, 2), (9, 3)],  # one inside another
    [(2, 2, 2, 2)],
    [(3,), (3,), (5,)],                 # the same twice
    [(6, 7, 8), (6, 7, 9), (6, 10)],
    [(i,) for i in range(12)],          # nothing but leaves
]


def test_tree_shares_prefixes():
    tree = Tree.of(SEQUENCES)
    assert tree.tokens.tolist() == [0, 7, 3, 2, 9, 3]
    assert tree.parents.tolist() == [0, 0, 1, 2, 0, 4]
    assert tree.depths.tolist() == [0, 1, 2, 3, 1, 2]
    assert tree.leaves.tolist() == [1, 2, 3, 5]


def test_node_sees_only_itself_and_its_ancestors():
    sees = Tree.of(SEQUENCES).sees
    assert np.flatnonzero(sees[3]).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(sees[5]).tolist() == [0, 4, 5]


def plain(model, prompt, sequence, banned):
    with torch.no_grad():
        table = model.model(torch.tensor([[*prompt, *sequence]])).logits[0].double().log_softmax(-1)
    steps = sum(table[len(prompt) + t - 1, token].item() for t, token in enumerate(sequence))
    return steps + np.log1p(-table[-1, banned].exp().sum().item())


def test_tree_equals_plain_paths_for_prompts_of_any_length(model):
    prompts, banned = [[5, 6, 7], [8], [9, 5, 6], [4] * 30], [2, 3, 11]
    truth = [[plain(model, p, s, banned) for s in SEQUENCES] for p in prompts]
    found = tree_logprobs(model, prompts, SEQUENCES, banned)
    np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-5)


def test_many_sequences_in_several_passes(words):
    sequences = [(a, b) for a in range(20, 40) for b in range(30, 50)]
    found = tree_logprobs(words, [[6, 7]], sequences, [])
    for i in (0, 255, 256, 399):
        assert found[0, i] == pytest.approx(plain(words, [6, 7], sequences[i], []), rel=1e-5)


def test_all_two_token_continuations_sum_to_one(words):
    size = words.model.config.vocab_size
    sequences = [(20, b) for b in range(size)]
    given_first = tree_logprobs(words, [[6]], sequences, [])
    first = tree_logprobs(words, [[6]], [(20,)], [])
    assert np.exp(given_first).sum() == pytest.approx(np.exp(first).item(), rel=1e-5)


@pytest.mark.parametrize("name, count", [("gpt2", 994), ("smollm2", 10), ("words", 0)])
def test_digits_that_extend_a_number(build, name, count):
    tokenizer = build(name).tokenizer
    after = tokenizer("12", add_special_tokens=False)["input_ids"][-1]
    found = digit_ids(tokenizer, after)
    assert len(found) == count
    assert all(tokenizer.decode([i]).strip()[0].isdigit() for i in found)


def test_byte_tokens_count_as_digits(stories):
    after = stories.tokenizer("12", add_special_tokens=False)["input_ids"][-1]
    found = stories.tokenizer.convert_ids_to_tokens(digit_ids(stories.tokenizer, after))
    assert "5" in found and "<0x35>" in found


def flat(arrays):
    return np.concatenate(arrays)


def test_branches_equal_plain_paths(model):
    found = branch_logprobs(model, PROMPTS, BRANCHES)
    assert [len(row) for row in found] == [4, 1, 3, 3, 12]
    pairs = zip(PROMPTS, BRANCHES, strict=True)
    truth = [[plain(model, p, s, []) for s in row] for p, row in pairs]
    np.testing.assert_allclose(flat(found), flat(truth), atol=2e-5)


def test_branches_do_not_depend_on_company(model):
    alone = [branch_logprobs(model, [p], [b])[0] for p, b in zip(PROMPTS, BRANCHES, strict=True)]
    together = branch_logprobs(model, PROMPTS, BRANCHES)
    np.testing.assert_allclose(flat(together), flat(alone), atol=1e-5)
    back = branch_logprobs(model, PROMPTS[::-1], BRANCHES[::-1])[::-1]
    np.testing.assert_allclose(flat(together), flat(back), atol=1e-5)


def test_prompts_of_other_lengths_share_a_batch():
    """Or the test above would prove nothing about padding of the cache."""
    assert len(plan([len(p) + 2 for p in PROMPTS[:3]], [1] * 3)) == 1


def test_branches_equal_sequences_and_the_tree_of_all_prompts(model):
    sequences = [(7,), (7, 3), (9, 3)]
    found = np.array(branch_logprobs(model, PROMPTS, [sequences] * len(PROMPTS)))
    np.testing.assert_allclose(found, tree_logprobs(model, PROMPTS, sequences, []), atol=1e-5)
    for column, sequence in zip(found.T, sequences, strict=True):
        one = sequence_logprobs(model, PROMPTS, [sequence] * len(PROMPTS))["logprob"]
        np.testing.assert_allclose(column, one, atol=1e-5)


def test_next_tokens_sum_to_one(words):
    everything = [(i,) for i in range(words.model.config.vocab_size)]
    found = branch_logprobs(words, [[6, 7], [6]], [everything] * 2)
    assert np.exp(found).sum(axis=1) == pytest.approx(1, abs=1e-5)


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
