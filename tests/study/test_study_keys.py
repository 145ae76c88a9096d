"""Canonical text of inputs, one digest for frames and values, and the code behind a function."""

import functools
import inspect
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InvalidValueError
from lib.models.chat import Example, Prompt
from lib.study import keys
from lib.study.fingerprint import SOURCES
from lib.study.keys import Code, canonical_json, digest
from lib.study.notebook import csv_text
from lib.study.profiles import load_profile

ROOT = Path("/some/run")


@dataclass
class Recipe:
    rank: int
    targets: list[str]


@dataclass
class Other:
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
        (Recipe(4, ["q"]), '{"Recipe":[["rank",4],["targets",["q"]]]}'),
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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), print, csv_text,
                                   {(1, 2): 3}])
def test_values_without_canonical_text_are_refused(value):
    with pytest.raises(InvalidValueError, match="numbers, text"):
        canonical_json({"x": value}, ROOT)


def frame() -> pd.DataFrame:
    example = Example(Prompt.chat("how do i mend nets ?", "be fair ."), "sure .")
    return pd.DataFrame({
        "series": ["a", "b", "c"], "rho": [0.2, np.nan, 0.8], "n": [1, 2, 3],
        "history": [[1, 2], [3, 4], [5, 6]], "seen": [np.arange(2.0), np.ones(2), np.ones(1)],
        "example": [example, example, replace(example, ends=False)], "gap": [None, pd.NA, np.nan],
        "kind": pd.Categorical(["x", "y", "x"]), "right": [True, False, True],
    })


def test_equal_frames_have_one_digest_and_a_copy_in_parquet_does_not_matter():
    assert digest(frame(), ROOT) == digest(frame(), ROOT)
    assert digest([frame(), 1], ROOT) != digest([frame(), 2], ROOT)


CHANGES = {
    "order of rows": lambda f: f.iloc[::-1].reset_index(drop=True),
    "history reversed": lambda f: f.assign(history=[[2, 1], [4, 3], [6, 5]]),
    "rho relabelled": lambda f: f.assign(rho=[0.8, np.nan, 0.2]),
    "a gap filled": lambda f: f.assign(rho=[0.2, 0.0, 0.8]),
    "last bit": lambda f: f.assign(rho=[np.nextafter(0.2, 1), np.nan, 0.8]),
    "one element of an array": lambda f: f.assign(seen=[np.arange(2.0), np.ones(2), np.zeros(1)]),
    "type": lambda f: f.assign(n=[1.0, 2.0, 3.0]),
    "name": lambda f: f.rename(columns={"n": "m"}),
    "order of columns": lambda f: f[f.columns[::-1]],
    "one column less": lambda f: f.drop(columns="kind"),
    "cell moved": lambda f: f.assign(series=["ab", "", "c"]),
    "kind of gap": lambda f: f.assign(gap=[None, None, np.nan]),
    "an example": lambda f: f.assign(example=f["example"].iloc[0]),
    "index": lambda f: f.set_index(pd.Index([3, 4, 5])),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_a_frame_is_another_digest(change):
    assert digest(CHANGES[change](frame()), ROOT) != digest(frame(), ROOT)


def test_equal_fields_of_other_classes_are_other_values():
    assert digest(Recipe(1, []), ROOT) != digest(Other(1, []), ROOT)


def test_thousands_of_examples_take_a_moment():
    examples = [Example(Prompt.chat(f"how do i {i} ?", "be fair ."), f"sure , {i}")
                for i in range(3000)]
    digest(examples[:10], ROOT)
    started = time.process_time()
    digest(examples, ROOT)
    assert time.process_time() - started < 0.3  # about 0.04 on a laptop


# --- code ---------------------------------------------------------------------------------------

def test_function_of_lib_is_its_module():
    for function in (csv_text, functools.partial(csv_text), functools.lru_cache(csv_text)):
        code = Code(function)
        assert code.modules == {"lib.study.notebook"}
        assert code.texts == ["lib.study.notebook.csv_text"]


def test_objects_count_by_their_class_also_those_in_fields():
    @dataclass
    class Holder:
        inner: object

    code = Code(functools.partial(csv_text, Holder(Prompt()), load_profile("smoke"), 3))
    assert code.modules == {"lib.study.notebook", "lib.models.chat"}
    assert Code(Prompt().chat).modules == {"lib.models.chat"}


OTHER = 2


def helper(x):
    return csv_text(x)


class Local:
    def method(self):
        return digest(1, ROOT)


def test_function_outside_lib_is_its_source_and_what_its_names_stand_for():
    code = Code(lambda: keys)
    assert code.modules == {"lib.study.keys"} and "lambda: keys" in code.texts[0]
    code = Code(lambda: helper(OTHER))
    assert code.modules == {"lib.study.notebook"} and inspect.getsource(helper) in code.texts
    assert Code(Local().method).modules == {"lib.study.keys"}
    inner = helper
    assert Code(lambda: inner).modules == {"lib.study.notebook"}
    assert Code(lambda x=inner: x).modules == {"lib.study.notebook"}
    assert Code(lambda: [helper(x) for x in ()]).modules == {"lib.study.notebook"}
    assert Code(functools.partial(csv_text, lambda: keys)).modules == {
        "lib.study.keys", "lib.study.notebook"}


def test_what_a_function_imports_itself_counts():
    def one():
        import lib.study.disk
        return lib.study.disk

    def two():
        from lib.study import disk
        return disk

    assert "lib.study.disk" in Code(one).modules & Code(two).modules
    assert Code(lambda: np.ones(pd.NA)).modules == set()


def cell(source, **names):
    """What a notebook's cell defines, as IPython keeps its source for `inspect`."""
    import linecache

    name = f"<cell {hash(source)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    space = {"__name__": "__main__", **names}
    exec(compile(source, name, "exec"), space)
    return space


def test_an_edited_lambda_or_helper_of_a_notebook_is_another_key():
    make = "make = lambda: helper(seed)\n"
    cells = [f"def helper(x): return x + {n}\n{m}" for n, m in (
        (1, make), (2, make), (1, make.replace("seed", "seed + 1")))]
    prints = [Code(cell(source, seed=1)["make"]).texts for source in cells]
    assert prints[0] != prints[1] != prints[2] != prints[0]
    assert Code(cell(cells[0], seed=1)["make"]).texts == prints[0]


def test_function_without_source_is_what_it_was_compiled_to():
    prints = []
    for source in ("lambda: [f(1) for _ in ()]", "lambda: [f(2) for _ in ()]"):
        space = {"__name__": "__main__"}
        exec(f"make = {source}", space)
        prints.append(Code(space["make"]).texts)
    assert prints[0] != prints[1]


def test_function_that_is_no_python_is_refused():
    with pytest.raises(InvalidValueError, match="written in Python"):
        Code(print)


def test_versions_and_code_are_part_of_what_enters_a_key(monkeypatch):
    before = Code(csv_text).fingerprint()
    assert before[1] == SOURCES.code(["lib.study.notebook"]) and "numpy" in before[2]
    monkeypatch.setattr(keys, "packages", lambda: {"numpy": "0.1"})
    assert Code(csv_text).fingerprint()[2] == {"numpy": "0.1"}


def test_a_lasting_result_ignores_versions_and_modules_that_only_carry(monkeypatch):
    from lib.study import progress

    def make(folder):
        return progress.clock_text(3)

    code = SOURCES.modules["lib.study.progress"]
    before = [Code(make, lasting).fingerprint() for lasting in (False, True)]
    monkeypatch.setattr(SOURCES, "_prints", {**SOURCES._prints, code: "edited"})
    monkeypatch.setattr(keys, "packages", lambda: {"numpy": "0.1"})
    after = [Code(make, lasting).fingerprint() for lasting in (False, True)]
    assert before[0][1:] != after[0][1:] and before[1] == after[1]
