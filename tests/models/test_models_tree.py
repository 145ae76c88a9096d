import numpy as np
import pytest
import torch

from lib.models.tree import Tree, digit_ids, tree_logprobs

SEQUENCES = [(7,), (7, 3), (7, 3, 2), (9, 3)]


def test_tree_shares_prefixes():
    tree = Tree.of(SEQUENCES)
    assert tree.tokens.tolist() == [0, 7, 3, 2, 9, 3]
    assert tree.parents.tolist() == [0, 0, 1, 2, 0, 4]
    assert tree.depths.tolist() == [0, 1, 2, 3, 1, 2]
    assert tree.leaves.tolist() == [1, 2, 3, 5]


def test_node_sees_only_itself_and_its_ancestors():
    sees = Tree.of(SEQUENCES).ancestry()
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
