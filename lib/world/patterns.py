"""Patterns with slots: text whose exact probability is known.

A pattern has an ``answer`` and, for a chat, ``user``, ``system`` and ``turns``: words and
``{slot.column}``; ``{slot2}`` is a second draw of the same table. Draws are independent, so
``log p(text)`` is the sum of their logs; the answer's conditions on slots of the user's part. All
texts of one pattern have the same length: a batch of them needs no padding.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from lib.world.tokenizer import ASSISTANT, END, START, SYSTEM, USER, encode
from lib.world.truth import Table, tables

SLOT = re.compile(r"^\{(\w+)(?:\.(\w+))?\}$")
BRACES = re.compile(r"(\{[^}]*\})")


@dataclass(frozen=True)
class Block:
    """Equally long texts of one pattern, as token ids."""

    kind: str
    ids: np.ndarray  # (n, length)
    start: int  # position of the answer
    logp: np.ndarray  # (n,), true log-probability of the answer in nats, given what is before it
    weight: float = 1.0  # of the answer's tokens in training
    prompt_weight: float = 0.0  # of the tokens before it


def draw(
    pattern: dict[str, Any], n: int, kind: str, rng: np.random.Generator,
    own: Mapping[str, Table] | None = None,
) -> Block:
    """`n` texts of one pattern; `own` tables replace those of the world."""
    before, answer = layout(pattern)
    rows = {name: None for word in before + answer if (name := _slot(word)[0])}
    found = {name: table_of(name, own or {}) for name in rows}
    for name, table in found.items():
        rows[name] = rng.choice(len(table.weights), size=n, p=table.weights)
    columns = [_columns(word, rows, found, n) for word in before + answer]
    start = sum(c.shape[1] for c in columns[: len(before)])
    ids = np.concatenate(columns, axis=1)
    return Block(kind, ids, start, _answer_logp(before, answer, rows, found, n))


def layout(pattern: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Words (or special ids) before the answer, and of the answer with its end."""
    before: list[Any] = [START]
    if "system" in pattern:
        before += [SYSTEM, *_split(pattern["system"]), END]
    for turn in pattern.get("turns", []):
        before += [USER, *_split(turn["user"]), END, ASSISTANT, *_split(turn["answer"]), END]
    if "user" in pattern:
        before += [USER, *_split(pattern["user"]), END, ASSISTANT]
    return before, [*_split(pattern["answer"]), END]


def _split(text: str) -> list[str]:
    """Words and slots; what stands right behind a slot is a word of its own."""
    return BRACES.sub(r" \1 ", text).split()


def table_of(slot: str, own: Mapping[str, Table] = MappingProxyType({})) -> Table:
    """The table that a slot draws from; a number at its end only keeps draws apart."""
    name = slot.rstrip("0123456789")
    return own[name] if name in own else tables()[name]


def _slot(word: Any) -> tuple[str, str]:
    match = SLOT.match(word) if isinstance(word, str) else None
    return (match[1], match[2] or "") if match else ("", "")


def _columns(
    word: Any, rows: dict[str, np.ndarray], found: dict[str, Table], n: int
) -> np.ndarray:
    name, column = _slot(word)
    if name:
        return np.array([encode(w) for w in found[name].columns[column]])[rows[name]]
    return np.full((n, 1), word if isinstance(word, int) else encode(word)[0])


def _answer_logp(
    before: list, answer: list, rows: dict, found: dict[str, Table], n: int
) -> np.ndarray:
    total = np.zeros(n)
    for name, drawn in rows.items():
        seen, asked = ([c for s, c in map(_slot, part) if s == name] for part in (before, answer))
        if asked:
            total += conditional(found[name], seen, asked)[drawn]
    return total


def conditional(table: Table, seen: list[str], asked: list[str]) -> np.ndarray:
    """``log p(asked columns | seen columns)`` of each row, shape (rows,)."""
    def mass(columns: list[str]) -> np.ndarray:
        if not columns:
            return np.ones(len(table.weights))
        keys = list(zip(*(table.columns[c] for c in columns), strict=True))
        sums: dict[tuple, float] = {}
        for key, weight in zip(keys, table.weights, strict=True):
            sums[key] = sums.get(key, 0.0) + weight
        return np.array([sums[key] for key in keys])
    return np.log(mass(seen + asked)) - np.log(mass(seen))
