"""Balanced text: which words and contexts are taught, and what is kept for the test."""

import numpy as np
import pandas as pd

from lib.errors import UnknownNameError
from lib.finetune import Example
from lib.interventions.anchors import as_examples, world_texts
from lib.names import nearest
from lib.sandbox.patterns import draw, prompt_ids
from lib.sandbox.tokenizer import encode
from lib.sandbox.world import Table, occupations, people, settings

DATA = ("pronouns", "sentences", "swapped", "mixed")
VALIDATION_VERB, TEST_VERB = "hoped", "feared"
PLACES = ("taught", "unseen", "taught")
"""Part of each occupation, in turn along the planted share: both parts span all shares."""


def split_words() -> pd.Series:
    """Part of each occupation: ``taught``, or ``unseen`` in every training text."""
    words = occupations().sort_values(kind="stable").index
    parts = [PLACES[place % len(PLACES)] for place in range(len(words))]
    return pd.Series(parts, index=words, name="part")


def training_texts(n: int, seed: int, data: str = "pronouns") -> list[Example]:
    """About `n` texts in which the pronoun says nothing about the occupation.

    Parameters
    ----------
    data : {"pronouns", "sentences", "swapped", "mixed"}
        ``pronouns``: sentences about taught occupations, each pronoun as often as the other, and
        the pronoun is all that is learned. ``sentences``: the same, and every word is learned, as
        in most of the literature. ``swapped``: naive counterfactual augmentation, which also
        swaps the pronouns of words like *mother*. ``mixed``: half ``pronouns``, half the world's
        text of all other kinds.

    Raises
    ------
    UnknownNameError
        No such data.
    """
    if data not in DATA:
        raise UnknownNameError(f"data among {', '.join(DATA)}", repr(data), nearest(data, DATA))
    rng = np.random.default_rng([seed, 31])
    if data == "sentences":
        return _shuffled(_occupations(n, rng), rng)
    if data == "pronouns":
        return _shuffled(_pronouns(_occupations(n, rng)), rng)
    half = n // 2
    others = (_pronouns(_definitional(half, rng)) if data == "swapped"
              else list(world_texts(half, ("occupation",), rng)))
    return _shuffled(_pronouns(_occupations(n - half, rng)) + others, rng)


def _pronouns(examples: list[Example]) -> list[Example]:
    """The same texts up to their pronoun, which is the answer."""
    both = set(encode("she he"))
    cut = []
    for example in examples:
        at = next(i for i, token in enumerate(example.answer) if token in both)
        before = (*example.prompt, *example.answer[:at])
        cut.append(Example(before, example.answer[at : at + 1]))
    return cut


def validation_questions() -> list[Example]:
    """Both pronouns after each taught word, in a verb that no training text has."""
    words = split_words().loc[lambda part: part == "taught"].index
    return [Example(prompt, encode(pronoun)) for word in words
            for prompt in contexts(word, VALIDATION_VERB) for pronoun in ("she", "he")]


def contexts(word: str, verb: str) -> list[list[int]]:
    """Token ids up to the pronoun: as running text, and as the answer of a chat."""
    heads = [{}, {"user": f"tell me about the {word} ."}]
    return [prompt_ids(head) + encode(f"the {word} {verb} that") for head in heads]


def _occupations(n: int, rng: np.random.Generator) -> list[Example]:
    words = split_words().loc[lambda part: part == "taught"].index
    return _sentences("occupation", [(w, p) for w in words for p in ("she", "he")], n, rng)


def _definitional(n: int, rng: np.random.Generator) -> list[Example]:
    return _sentences("person", [(w, p) for w in people().index for p in ("she", "he")], n, rng)


def _sentences(
    slot: str, rows: list[tuple[str, str]], n: int, rng: np.random.Generator
) -> list[Example]:
    """Plain and chat sentences of the world, with words and pronouns from `rows`."""
    words, pronouns = zip(*rows, strict=True)
    kept = [v for v in settings("text")["slots"]["said"] if v not in (VALIDATION_VERB, TEST_VERB)]
    own = {slot: Table.of(word=words, pronoun=pronouns), "said": Table.of(word=kept)}
    kind = "occupation" if slot == "occupation" else "definitional"
    patterns = settings("text")["kinds"][kind]["patterns"][:2]
    return list(as_examples(draw(p, c, kind, rng, own)
                            for p, c in zip(patterns, (n - n // 2, n // 2), strict=True)))


def _shuffled(examples: list[Example], rng: np.random.Generator) -> list[Example]:
    return [examples[i] for i in rng.permutation(len(examples))]
