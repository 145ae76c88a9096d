"""Canonical text of inputs, and the code behind a function."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InvalidValueError
from lib.study.notebook import csv_text
from lib.study.profiles import load_profile
from lib.study.store import canonical_json, code_modules, trace

ROOT = Path("/some/run")


@dataclass
class Recipe:
    rank: int
    targets: list[str]


@given(st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_order_of_keys_does_not_matter(inputs):
    backwards = dict(reversed(inputs.items()))
    assert canonical_json(inputs, ROOT) == canonical_json(backwards, ROOT)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1, 2), "[1,2]"),
        ({3, 1, 2}, "[1,2,3]"),
        (np.float64(0.1), "0.1"),
        (np.int64(3), "3"),
        (np.arange(3), "[0,1,2]"),
        (Recipe(4, ["q"]), '{"rank":4,"targets":["q"]}'),
        (ROOT / "models" / "base-0123", '{"artefact":"models/base-0123"}'),
        (Path("/else/where"), '"/else/where"'),
        (None, "null"),
    ],
)
def test_plain_text_of_values(value, text):
    assert canonical_json(value, ROOT) == text


def test_settings_are_values():
    one, two = load_profile("smoke"), load_profile("smoke", {"finetune.rank": 3})
    assert canonical_json(one.finetune, ROOT) != canonical_json(two.finetune, ROOT)
    assert canonical_json(one.pretrain, ROOT) == canonical_json(two.pretrain, ROOT)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), print, {(1, 2): 3}])
def test_values_without_canonical_text_are_refused(value):
    with pytest.raises(InvalidValueError, match="numbers, text"):
        canonical_json({"x": value}, ROOT)


def test_function_of_lib_is_its_module():
    assert code_modules(csv_text, ()) == (["lib.study.notebook"], "")
    assert code_modules(functools.partial(csv_text), ()) == (["lib.study.notebook"], "")


def test_named_code_wins():
    named = ["lib.study.notebook", "lib.errors"]
    assert code_modules(print, named) == (sorted(named), "")


def test_function_outside_lib_is_its_source_and_what_it_sees_of_lib():
    modules, source = code_modules(lambda: csv_text, ())
    expected = {"lib.study.notebook", "lib.study.store", "lib.errors", "lib.study.profiles"}
    assert expected <= set(modules)
    assert "lambda: csv_text" in source


def test_function_without_source_is_refused():
    with pytest.raises(InvalidValueError, match="code="):
        code_modules(print, ())


def test_trace_is_silent_outside_the_runner(tmp_path, monkeypatch):
    monkeypatch.delenv("STUDY_TRACE", raising=False)
    trace({"artefact": "x"})
    monkeypatch.setenv("STUDY_TRACE", str(tmp_path / "t"))
    trace({"artefact": "y"})
    assert (tmp_path / "t").read_text() == '{"artefact": "y"}\n'
