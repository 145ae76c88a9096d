"""Patterns: their probabilities against enumeration, brute force and closed-form entropies."""

import re
from itertools import combinations

import numpy as np
import pytest

from lib.world.patterns import conditional, draw, layout, table_of
from lib.world.tokenizer import ASSISTANT, END, START, SYSTEM, USER, encode, vocabulary
from lib.world.truth import Table, occupations, settings

KINDS = settings("text")["kinds"]
PATTERNS = [(kind, p) for kind, row in KINDS.items() for p in row["patterns"]]
SMALL = 60_000


class Every:
    """Stands in for a random generator: every combination of rows once."""

    def __init__(self, sizes):
        self.grid = iter(np.indices(sizes).reshape(len(sizes), -1))

    def choice(self, rows, size, p):
        return next(self.grid)


def slots(pattern):
    parts = [pattern.get("system", "")]
    parts += [turn[part] for turn in pattern.get("turns", []) for part in ("user", "answer")]
    text = " ".join([*parts, pattern.get("user", ""), pattern["answer"]])
    return list(dict.fromkeys(re.findall(r"\{(\w+)", text)))


def every(pattern):
    sizes = [len(table_of(name).weights) for name in slots(pattern)]
    return draw(pattern, int(np.prod(sizes)), "all", Every(sizes))


def combinations_of(pattern):
    return np.prod([len(table_of(name).weights) for name in slots(pattern)])


@pytest.mark.parametrize(
    "pattern", [p for _, p in PATTERNS if combinations_of(p) <= SMALL], ids=lambda p: p["answer"]
)
def test_answers_to_a_prompt_sum_to_one(pattern):
    block = every(pattern)
    _, first, prompt = np.unique(block.ids, axis=0, return_index=True, return_inverse=True)
    ids, logp = block.ids[first], block.logp[first]
    _, prompt = np.unique(ids[:, : block.start], axis=0, return_inverse=True)
    assert np.bincount(prompt.ravel(), np.exp(logp)) == pytest.approx(1.0)


def test_equal_texts_have_equal_probability():
    block = every(KINDS["occupation"]["patterns"][0])
    _, group = np.unique(block.ids, axis=0, return_inverse=True)
    group = group.ravel()
    mean = np.bincount(group, block.logp) / np.bincount(group)
    assert block.logp == pytest.approx(mean[group])


def test_conditional_is_a_ratio_of_sums():
    rng = np.random.default_rng(3)
    columns = {name: rng.choice(list("xyz"), 30) for name in ("word", "b", "c")}
    table = Table.of(rng.random(30), **columns)
    found = np.exp(conditional(table, ["b"], ["", "c"]))
    for row in range(30):
        same = columns["b"] == columns["b"][row]
        both = same & (columns["word"] == columns["word"][row])
        both &= columns["c"] == columns["c"][row]
        assert found[row] == pytest.approx(table.weights[both].sum() / table.weights[same].sum())


def test_what_was_seen_is_certain_and_nothing_seen_is_the_row():
    table = Table.of([1, 2, 5], word=["a", "b", "c"])
    assert conditional(table, [""], [""]) == pytest.approx(np.zeros(3))
    assert np.exp(conditional(table, [], [""])) == pytest.approx([1 / 8, 2 / 8, 5 / 8])


def near(draws, expected):
    se = draws.std() / np.sqrt(len(draws))
    return abs(draws.mean() - expected) < 4 * se + 1e-9


def binary_entropy(p):
    return -sum(q * np.log(q) for q in (p, 1 - p) if q > 0)


def test_entropy_of_equal_choices():
    pattern = KINDS["neutral"]["patterns"][0]
    expected = sum(np.log(len(settings("text")["slots"][name])) for name in slots(pattern))
    block = draw(pattern, 50, "neutral", np.random.default_rng(0))
    assert -block.logp == pytest.approx(expected)


def test_entropy_of_noisy_labels():
    block = draw(KINDS["detection"]["patterns"][0], 4000, "d", np.random.default_rng(1))
    assert near(-block.logp, binary_entropy(settings("text")["label_noise"]))


def test_entropy_of_pronouns():
    pattern = next(p for p in KINDS["occupation"]["patterns"] if "user" in p and "system" not in p)
    block = draw(pattern, 6000, "o", np.random.default_rng(2))
    words = [np.log(len(settings("text")["slots"][name])) for name in ("said", "feeling")]
    expected = sum(words) + np.mean([binary_entropy(p) for p in occupations()])
    assert near(-block.logp, expected)


def test_pronoun_rates_within_binomial_error():
    block = draw(KINDS["occupation"]["patterns"][0], 40_000, "o", np.random.default_rng(4))
    she = (block.ids == vocabulary()["she"]).any(1)
    misses = 0
    for word, share in occupations().items():
        mine = she[(block.ids == vocabulary()[word]).any(1)]
        misses += abs(mine.mean() - share) > 3 * np.sqrt(share * (1 - share) / len(mine))
    assert misses <= 2


def possible(pattern):
    """Tokens that may stand at each position, before and after the prompt's end."""
    places = []
    for word in sum(layout(pattern), []):
        if isinstance(word, int) or not word.startswith("{"):
            places.append({word if isinstance(word, int) else encode(word)[0]})
            continue
        name, _, column = word.strip("{}").partition(".")
        words = table_of(name).columns[column]
        places += [set(c) for c in zip(*map(encode, words), strict=True)]
    return places


def test_no_text_belongs_to_two_patterns():
    given = [possible(p) for _, p in PATTERNS]
    for a, b in combinations(given, 2):
        assert len(a) != len(b) or any(not x & y for x, y in zip(a, b, strict=True))


def test_no_prompt_belongs_to_two_patterns():
    chats = [possible({**p, "answer": ""}) for _, p in PATTERNS if "user" in p]
    for a, b in combinations(chats, 2):
        assert len(a) != len(b) or any(not x & y for x, y in zip(a, b, strict=True))


def test_layout_of_a_chat():
    before, answer = layout({"system": "be fair .", "user": "a b", "answer": "c ."})
    assert before == [START, SYSTEM, "be", "fair", ".", END, USER, "a", "b", END, ASSISTANT]
    assert answer == ["c", ".", END]
    assert layout({"answer": "c"}) == ([START], ["c", END])


def test_same_seed_same_texts():
    a, b = (draw(PATTERNS[0][1], 9, "k", np.random.default_rng(5)) for _ in range(2))
    assert (a.ids == b.ids).all()


def test_unknown_word_is_refused():
    with pytest.raises(KeyError):
        draw({"answer": "xylophone"}, 1, "k", np.random.default_rng(0))
