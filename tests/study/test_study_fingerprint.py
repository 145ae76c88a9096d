"""Fingerprints: a change is seen by exactly what depends on it."""

import json
import shutil
import subprocess
import sys

import pytest
from toy_notebooks import write_notebook

from lib.errors import InvalidValueError, UnknownNameError
from lib.study import fingerprint, paths
from lib.study.fingerprint import (
    code_fingerprint,
    file_sha256,
    import_closure,
    notebook_fingerprint,
    notebook_modules,
)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A package: a imports b; pack.c imports b lazily; d stands alone; e only for typing."""
    root = tmp_path / "toypack"
    (root / "pack").mkdir(parents=True)
    files = {
        "__init__.py": "", "a.py": "from toypack import b\n", "b.py": "X = 1\n", "d.py": "",
        "e.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import toypack.a\n",
        "pack/__init__.py": "from toypack.d import *\n",
        "pack/c.py": "def f():\n    import toypack.b\n",
    }
    for name, text in files.items():
        (root / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    clear()
    yield root
    clear()
    sys.modules.pop("toypack", None)


def clear():
    fingerprint._graph.cache_clear()
    fingerprint._package_folder.cache_clear()


def test_closure_follows_imports_and_enclosing_packages(toy):
    assert import_closure(["toypack.a"]) == {"toypack", "toypack.a", "toypack.b"}
    assert import_closure(["toypack.pack.c"]) == {
        "toypack", "toypack.pack", "toypack.pack.c", "toypack.b", "toypack.d"
    }


def test_imports_for_typing_do_not_count(toy):
    assert import_closure(["toypack.e"]) == {"toypack", "toypack.e"}


def test_change_is_seen_by_dependents_only(toy):
    before = {name: code_fingerprint([f"toypack.{name}"]) for name in ("a", "d", "pack.c")}
    (toy / "b.py").write_text("X = 2\n")
    after = {name: code_fingerprint([f"toypack.{name}"]) for name in before}
    assert {name for name in before if before[name] != after[name]} == {"a", "pack.c"}


def test_order_and_repetition_do_not_matter(toy):
    assert code_fingerprint(["toypack.a", "toypack.d"]) == code_fingerprint(
        ["toypack.d", "toypack.a", "toypack.a"]
    )


def test_unknown_module(toy):
    with pytest.raises(UnknownNameError, match="toypack.zzz"):
        import_closure(["toypack.zzz"])


def test_data_folders_belong_to_the_code_that_reads_them(toy, tmp_path, monkeypatch):
    (tmp_path / "data" / "words").mkdir(parents=True)
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    monkeypatch.setattr(fingerprint, "DATA_READ", {"toypack.d": "words/*"})
    before = [code_fingerprint([name]) for name in ("toypack.d", "toypack.pack.c", "toypack.a")]
    (tmp_path / "data" / "words" / "new.yml").write_text("a: 1\n")
    after = [code_fingerprint([name]) for name in ("toypack.d", "toypack.pack.c", "toypack.a")]
    assert [x == y for x, y in zip(before, after, strict=True)] == [False, False, True]


def test_real_package_in_a_copy(tmp_path):
    """A change in study.progress reaches study.store, not study.profiles; nothing is written."""
    shutil.copytree(paths.ROOT / "lib", tmp_path / "lib",
                    ignore=shutil.ignore_patterns("__pycache__"))
    code = ("import json; from lib.study.fingerprint import code_fingerprint as f; "
            "print(json.dumps([f(['lib.study.store']), f(['lib.study.profiles'])]))")

    def prints():
        done = subprocess.run([sys.executable, "-B", "-c", code], cwd=tmp_path, text=True,
                              capture_output=True, check=True)
        return json.loads(done.stdout)

    before = prints()
    with open(tmp_path / "lib" / "progress.py", "a") as file:
        file.write("\nNEW = 1\n")
    after = prints()
    assert before[0] != after[0] and before[1] == after[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lib"]


def test_notebook_outputs_and_metadata_do_not_count(tmp_path):
    path = write_notebook(tmp_path, "00_a", "x = 1")
    before = notebook_fingerprint(path)
    content = json.loads(path.read_text())
    content["metadata"] = {}
    content["cells"][1] |= {"execution_count": 7, "outputs": [{"output_type": "stream"}]}
    content["cells"][1]["source"] = ["x = ", "1"]
    path.write_text(json.dumps(content))
    assert notebook_fingerprint(path) == before


def test_notebook_source_counts(tmp_path):
    one = notebook_fingerprint(write_notebook(tmp_path, "00_a", "x = 1"))
    assert notebook_fingerprint(write_notebook(tmp_path, "00_a", "x = 2")) != one


@pytest.mark.parametrize(
    ("cell", "modules"),
    [
        ("import lib.study.store", ["lib.study.store"]),
        ("from lib.study.store import Store", ["lib.study.store"]),
        ("from lib import store, errors", ["lib", "lib.errors", "lib.study.store"]),
        ("%matplotlib inline\nfrom lib.study.paths import ROOT\n!ls", ["lib.study.paths"]),
        ("def f():\n    import lib.errors as e", ["lib.errors"]),
        ("import numpy\nfrom library import x", []),
        ("print('import lib.study.store')", []),
    ],
)
def test_imports_of_a_notebook(tmp_path, cell, modules):
    assert notebook_modules(write_notebook(tmp_path, "00_a", cell)) == modules


def test_import_that_does_not_exist_is_explained(tmp_path):
    path = write_notebook(tmp_path, "00_a", "from lib.stor import Store")
    with pytest.raises(UnknownNameError, match="00_a.ipynb.*did you mean lib.study.store"):
        notebook_modules(path)


def test_cell_that_cannot_be_read_counts_as_everything(tmp_path):
    found = notebook_modules(write_notebook(tmp_path, "00_a", "%%bash\ncp a b"))
    assert {"lib.study.store", "lib.errors"} <= set(found)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"nbformat": 4}'])
def test_damaged_notebook_is_explained(tmp_path, text):
    (tmp_path / "00_a.ipynb").write_text(text)
    with pytest.raises(InvalidValueError, match="00_a.ipynb"):
        notebook_fingerprint(tmp_path / "00_a.ipynb")


def test_file_hash_is_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert file_sha256(tmp_path / "x") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
