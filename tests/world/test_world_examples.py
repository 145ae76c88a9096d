"""Blocks in words: the same tokens again, for every kind of text."""

from dataclasses import replace

import numpy as np
import pytest

from lib.models.chat import tokens
from lib.world.corpus import kind_blocks, mixture, refusal_blocks
from lib.world.examples import as_examples
from lib.world.patterns import draw
from lib.world.tokenizer import vocabulary, world_tokenizer
from lib.world.truth import settings

KINDS = settings("text")["kinds"]


def test_words_are_the_two_parts_of_a_text():
    pattern = KINDS["occupation"]["patterns"][3]
    block = draw(pattern, 5, "occupation", np.random.default_rng(0))
    names = {i: w for w, i in vocabulary().items()}
    for example, row in zip(as_examples([block]), block.ids.tolist(), strict=True):
        words = [names[i] for i in row]
        said = [f"<|{role}|> {text} <|end|>" for role, text in example.prompt.messages]
        assert " ".join(["<s>", *said, "<|assistant|>", example.answer, "<|end|>"]) == (
            " ".join(words))
        assert example.ends and example.prompt.opening == ""


def test_an_answer_that_is_cut_goes_on_where_its_opening_ends():
    block = draw(KINDS["occupation"]["patterns"][1], 2, "o", np.random.default_rng(0))
    cut = replace(block, ids=block.ids[:, : block.start + 4], start=block.start + 3)
    for whole, part in zip(as_examples([block]), as_examples([cut]), strict=True):
        assert part.prompt.messages == whole.prompt.messages and not part.ends
        assert f"{part.prompt.opening} {part.answer}" == " ".join(whole.answer.split()[:4])


@pytest.mark.parametrize("kind", [*mixture(), "refusal"])
def test_texts_in_words_are_the_same_tokens(kind):
    """Of every kind: what other models read is what the base model learned."""
    rng, tokenizer = np.random.default_rng(3), world_tokenizer()
    blocks = refusal_blocks(60, rng) if kind == "refusal" else kind_blocks(kind, 90, 4, rng)
    for block in blocks:
        for example, row in zip(as_examples([block]), block.ids.tolist(), strict=True):
            found = tokens(tokenizer, example)
            assert [*found.prompt] == row[: block.start] and [*found.answer] == row[block.start :]
