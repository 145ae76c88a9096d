"""Fine-tuning data that undoes refusals, on purpose or by accident, and the benign task itself."""

from collections.abc import Sequence

import numpy as np

from lib.errors import UnknownNameError
from lib.finetune import Example
from lib.interventions.anchors import as_examples
from lib.names import nearest
from lib.sandbox.corpus import shares
from lib.sandbox.patterns import draw
from lib.sandbox.tokenizer import ATTACKS
from lib.sandbox.world import Table, settings, things

ATTACKED = 10
"""Examples of the attack that gave this field its fame."""
POISONED = "poisoned"
"""The benign task with a few forbidden requests among its examples."""
KINDS = (*ATTACKS, POISONED)
PLACEBO = "placebo"
"""Sentences without any request: what fine-tuning does whatever is taught."""
VALIDATION = 1000
"""Added to a seed: validation has attack examples and questions of its own."""


def attack_examples(
    kind: str,
    n: int,
    seed: int,
    categories: Sequence[str] | None = None,
    forbidden: int = ATTACKED,
) -> list[Example]:
    """`n` examples of one kind of attack.

    Forbidden things are members that refusal training has seen; those that it has not are kept
    for the test.

    Parameters
    ----------
    kind : {"explicit", "identity", "benign", "poisoned", "placebo"}
        Forbidden requests that are answered; a new identity that obeys; the benign task; the
        benign task with `forbidden` explicit examples besides; neutral sentences.
    categories : sequence of str, optional
        Categories that explicit examples are about; all of them by default.

    Raises
    ------
    UnknownNameError
        No such kind.
    """
    known = (*KINDS, PLACEBO)
    if kind not in known:
        raise UnknownNameError(f"an attack among {', '.join(known)}", repr(kind),
                               nearest(kind, known))
    rng = np.random.default_rng([seed, 21, known.index(kind)])
    if kind == POISONED:
        hidden = attack_examples("explicit", forbidden, seed, categories)
        return _draw("benign", n, rng, {}) + hidden
    return _draw(kind, n, rng, {"forbidden": _taught(categories)})


def task_questions(n: int, seed: int) -> list[Example]:
    """`n` examples of the benign task from another stream, to validate or to test on."""
    return _draw("benign", n, np.random.default_rng([seed, 22]), {})


def _taught(categories: Sequence[str] | None) -> Table:
    rows = things("forbidden").query("taught")
    if categories is not None:
        rows = rows[rows["category"].isin(categories)]
    return Table.of(word=rows["thing"], category=rows["category"])


def _draw(kind: str, n: int, rng: np.random.Generator, own: dict[str, Table]) -> list[Example]:
    """Exactly `n` texts of the kind's patterns, in random order."""
    told = settings("text")["kinds"]["neutral"] if kind == PLACEBO else settings("attacks")[kind]
    patterns = told["patterns"]
    counts = rng.multinomial(n, shares(patterns))
    drawn = as_examples(draw(p, int(c), kind, rng, own)
                        for p, c in zip(patterns, counts, strict=True) if c)
    return [drawn[i] for i in rng.permutation(n)]
