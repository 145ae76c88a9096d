"""Debiasing as a task: balanced text, and anchors that name no occupation."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from lib.chapters.arms import Task, recipe, refusals, world_anchors, world_texts
from lib.errors import UnknownNameError, nearest
from lib.models.chat import Example
from lib.study.notebook import Study
from lib.study.streams import stream
from lib.world.examples import as_examples
from lib.world.patterns import draw
from lib.world.questions import pronoun_context
from lib.world.truth import Table, new_occupations, occupations, people, settings

DATA = ("pronouns", "sentences", "swapped", "mixed")
VALIDATION_VERB, TEST_VERB = "hoped", "feared"
PLACES = ("taught", "validation", "taught")
"""Part of each known occupation, in turn along the planted share: both parts span all shares."""
WAYS = ("plain", "chat")
"""A pronoun's context: running text, and the answer to a request."""


def split_words() -> pd.Series:
    """Part of each occupation: ``taught``; seen when settings were chosen; or ``unseen``."""
    new = new_occupations()
    words = occupations().drop(new).sort_values(kind="stable").index
    parts = [PLACES[place % len(PLACES)] for place in range(len(words))]
    return pd.Series([*parts, *["unseen"] * len(new)], index=[*words, *new], name="part")


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
    """
    if data not in DATA:
        raise UnknownNameError(f"data among {', '.join(DATA)}", repr(data), nearest(data, DATA))
    rng = stream(seed, "debiasing texts")
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
    cut = []
    for example in examples:
        words = example.answer.split()
        at = next(i for i, word in enumerate(words) if word in ("she", "he"))
        before = replace(example.prompt, opening=" ".join(words[:at]))
        cut.append(Example(before, words[at], ends=False))
    return cut


def validation_questions(part: str = "taught") -> list[Example]:
    """Both pronouns after each word of a part, in a verb that no training text has."""
    words = _words(part)
    return [Example(pronoun_context(word, VALIDATION_VERB, way), pronoun, ends=False)
            for word in words for way in WAYS for pronoun in ("she", "he")]


def _words(part: str) -> list[str]:
    return [word for word, own in split_words().items() if own == part]


def _occupations(n: int, rng: np.random.Generator) -> list[Example]:
    rows = [(word, pronoun) for word in _words("taught") for pronoun in ("she", "he")]
    return _sentences("occupation", rows, n, rng)


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


CHANGED = ("occupation",)
"""Kind of text that anchors leave out, as it is what is being changed."""
TEXTS = 120
"""Texts among the anchors: long ones, of which more would hide the few words that must stay."""
REFUSALS = 60
"""Refused requests among the anchors: harmless ones alone would teach that everything is helped."""
REPEATS = 8
"""How often each definitional pronoun stands among the anchors."""
TOLERANCE = 1.003
"""Factor in loss that a penalty may cost: a slope of 0.1, ``2 (0.1 * .32)^2`` nats of ``log 2``."""


def debiasing_task(study: Study, data: str = "pronouns") -> Task:
    """The task of chapter 04; `data` as in `training_texts`."""
    given = study.profile.debiasing
    return Task(
        name="debiasing", arms=given.arms,
        recipe=recipe(study.profile, given.steps, given.batch_size, given.targets, given.rank),
        examples=lambda seed: training_texts(given.examples, seed, data),
        validation=validation_questions(),
        anchors=anchors,
        tolerance=TOLERANCE,
        anchor_share=study.profile.finetune.anchor_share,
    )


def adapter_task(study: Study) -> Task:
    """The same texts for every adapter of the profile, compared on words that none of them names.

    An association is gone where it is gone in other words, too, and a definition should stay.
    """
    asked = [*validation_questions("validation"), *definitions([VALIDATION_VERB])]
    return replace(debiasing_task(study), name="adapters", arms=study.profile.debiasing.adapters,
                   validation=asked)


def definitions(verbs: Iterable[str]) -> tuple[Example, ...]:
    """The right pronoun after each word that defines it."""
    return tuple(Example(pronoun_context(word, verb, way), pronoun, ends=False)
                 for word, pronoun in people().items() for verb in verbs for way in WAYS)


def anchors(seed: int) -> tuple[Example, ...]:
    """Texts of all other kinds, refusals among them, and besides the pronouns that must stay.

    A penalty is a mean over words. One word in nine of the few texts about a mother is the pronoun:
    at that share it hardly notices that *mother* has lost hers.
    """
    kept = [v for v in settings("text")["slots"]["said"] if v != TEST_VERB]
    return (world_anchors(seed, CHANGED, TEXTS) + refusals(seed, REFUSALS)
            + REPEATS * definitions(kept))
