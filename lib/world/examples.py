"""Training text in words, for any model's tokenizer: what blocks of token ids say."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from lib.models.chat import Example, Prompt
from lib.world.patterns import Block
from lib.world.tokenizer import ASSISTANT, END, SYSTEM, USER, vocabulary
from lib.world.truth import written

ROLES = {SYSTEM: "system", USER: "user", ASSISTANT: "assistant"}


def as_examples(blocks: Iterable[Block]) -> tuple[Example, ...]:
    """All rows of blocks of text, in order."""
    return tuple(example for block in blocks for example in _in_words(block))


def _in_words(block: Block) -> Iterator[Example]:
    first = block.ids[0].tolist()
    heads = [i for i in range(block.start) if first[i] in ROLES]
    turns = [(ROLES[first[i]], slice(i + 1, end - 1)) for i, end in pairwise(heads)]
    opening = slice(heads[-1] + 1 if heads else 1, block.start)
    ends = first[-1] == END
    answer = slice(block.start, len(first) - ends)
    for row in np.array(list(vocabulary()))[block.ids]:
        said = tuple((role, _text(row[words])) for role, words in turns)
        yield Example(Prompt(said, _text(row[opening])), _text(row[answer]), ends)


def _text(words: np.ndarray) -> str:
    return written(" ".join(words))
