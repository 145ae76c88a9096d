"""Random streams: a purpose, a seed and parts each make another; the same ones the same."""

import ast
from collections import Counter
from itertools import combinations

import numpy as np

from lib.study.paths import ROOT
from lib.study.streams import stream


def test_each_purpose_seed_and_part_has_bits_of_its_own():
    asked = [(1, "texts"), (2, "texts"), (1, "probes"), (1, "texts", 1), (1, "texts", 2), (0, "")]
    drawn = [stream(*each).integers(0, 2**60, 4).tolist() for each in asked]
    assert all(a != b for a, b in combinations(drawn, 2))
    assert drawn == [stream(*each).integers(0, 2**60, 4).tolist() for each in asked]


def test_no_stream_is_that_of_the_bare_seed():
    assert stream(1, "texts").integers(0, 2**60) != np.random.default_rng(1).integers(0, 2**60)


def test_no_two_places_of_the_library_draw_for_the_same_purpose():
    named = Counter()
    for path in (ROOT / "lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "stream":
                named.update(a.value for a in node.args[1:2] if isinstance(a, ast.Constant))
    assert len(named) > 10 and set(named.values()) == {1}
