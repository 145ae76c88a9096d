"""Fingerprints: a change is seen by exactly what depends on it, and a rewording by nothing."""

import ast
import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import pytest
from toy_notebooks import write_notebook

from lib.errors import EditedSourceError, InvalidValueError, UnknownNameError
from lib.study import fingerprint, paths
from lib.study.fingerprint import (
    SOURCES,
    Sources,
    file_sha256,
    notebook_fingerprint,
    notebook_modules,
    packages,
)

FILES = {
    "__init__.py": "", "a.py": "from lib import b\n", "b.py": '"""Text."""\n\nX = 1\n', "d.py": "",
    "e.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import lib.a\n",
    "f.py": "import typing\nif typing.TYPE_CHECKING:\n    import lib.a\nelse:\n    import lib.d\n",
    "pack/__init__.py": "from lib.d import *\n",
    "pack/c.py": "def f():\n    try:\n        import lib.b\n    finally:\n        pass\n",
}
SNIPPET = '''"""Module."""

# why
N = 1
"""What N is."""


def f(x):
    """Say hello.

    More.
    """
    if x: return [x, "text"]


class C:
    """Class."""
    y = 2
'''


@pytest.fixture
def toy(tmp_path):
    """A tree: a imports b; pack.c imports b lazily; d stands alone; e imports only for typing."""
    for name, text in FILES.items():
        path = tmp_path / "lib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_closure_follows_imports_and_enclosing_packages(toy):
    closure = Sources(toy).closure
    assert closure(["lib.a"]) == {"lib", "lib.a", "lib.b"}
    assert closure(["lib.pack.c"]) == {"lib", "lib.pack", "lib.pack.c", "lib.b", "lib.d"}


def test_imports_for_typing_do_not_count(toy):
    assert Sources(toy).closure(["lib.e"]) == {"lib", "lib.e"}
    assert Sources(toy).closure(["lib.f"]) == {"lib", "lib.f", "lib.d"}


def test_change_is_seen_by_dependents_only(toy):
    names = ("lib.a", "lib.d", "lib.pack.c")
    before = {name: Sources(toy).code([name]) for name in names}
    (toy / "lib" / "b.py").write_text("X = 2\n")
    after = {name: Sources(toy).code([name]) for name in names}
    assert {name for name in before if before[name] != after[name]} == {"lib.a", "lib.pack.c"}


@pytest.mark.parametrize("edited", [
    SNIPPET.replace("Say hello.", "Say something else."),
    SNIPPET.replace('    """Say hello.\n\n    More.\n    """\n', ""),
    SNIPPET.replace("# why\n", "# because\n# of that\n\n\n"),
    SNIPPET.replace('"""What N is."""', ""),
    SNIPPET.replace('"""Class."""', '"""A\n\n    class."""\n'),
    SNIPPET.replace("if x: return [x, \"text\"]", "if x:\n        return [\n x,\n 'text',\n]"),
])
def test_other_words_and_lines_are_the_same_code(toy, edited):
    path = toy / "lib" / "b.py"
    path.write_text(SNIPPET)
    sources = Sources(toy)
    before = sources.code(["lib.a"])
    path.write_text(edited)
    assert edited != SNIPPET and Sources(toy).code(["lib.a"]) == before
    assert sources.code(["lib.a"]) == before  # nor does it stop a process


@pytest.mark.parametrize("edited", [
    SNIPPET.replace("N = 1", "N = 2"), SNIPPET.replace('"text"', '"Text"'),
    SNIPPET.replace("y = 2", "y = 2.0"), SNIPPET.replace("f(x)", "f(x, z=1)"),
    SNIPPET.replace("N = 1", "N = 1\nprint(N)"),
])
def test_other_code_is_other_code(toy, edited):
    path = toy / "lib" / "b.py"
    path.write_text(SNIPPET)
    before = Sources(toy).code(["lib.a"])
    path.write_text(edited)
    assert edited != SNIPPET and Sources(toy).code(["lib.a"]) != before


def test_order_and_repetition_do_not_matter(toy):
    sources = Sources(toy)
    assert sources.code(["lib.a", "lib.d"]) == sources.code(["lib.d", "lib.a", "lib.a"])


def test_threads_parse_one_at_a_time(toy, monkeypatch):
    """Else CPython 3.11 ends with "AST constructor recursion depth mismatch", now and then."""
    inside, most, parse = [], [], ast.parse

    def slowly(content):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return parse(content)

    monkeypatch.setattr(fingerprint.ast, "parse", slowly)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: Sources(toy).code(["lib.a"]), range(8)))
    assert len(found) == 1 and len(most) > 8 and max(most) == 1


def test_unknown_module(toy):
    with pytest.raises(UnknownNameError, match="lib.zzz"):
        Sources(toy).closure(["lib.zzz"])


def test_code_that_is_no_python_is_named(toy):
    (toy / "lib" / "b.py").write_text("def f(:\n")
    with pytest.raises(InvalidValueError, match="lib/b.py"):
        Sources(toy).code(["lib.a"])
    assert Sources(toy).code(["lib.d"])


@pytest.mark.parametrize("edit", [
    lambda path: path.write_text("X = 2\n"), lambda path: path.unlink(),
    lambda path: path.write_text("X = (\n"),
])
def test_code_edited_after_the_start_stops_what_depends_on_it(toy, edit):
    sources = Sources(toy)
    before = sources.code(["lib.d"])
    sources.code(["lib.a"])
    edit(toy / "lib" / "b.py")
    for use in (sources.code, sources.check):
        with pytest.raises(EditedSourceError, match="lib/b.py edited .* run the same command"):
            use(["lib.a"])
    assert sources.code(["lib.d"]) == before


def test_data_files_belong_to_the_code_that_reads_them(toy, monkeypatch):
    words = toy / "data" / "words"
    words.mkdir(parents=True)
    (words / "old.yml").write_text("a: 1\n")
    monkeypatch.setattr(fingerprint, "DATA_READ", {"lib.d": "words/*"})
    sources = Sources(toy)
    before = [sources.code([name]) for name in ("lib.d", "lib.pack.c", "lib.a")]
    for name, text in (("old.yml", "a: 2\n"), ("new.yml", "b: 1\n")):
        (words / name).write_text(text)
        with pytest.raises(EditedSourceError, match=f"data/words/{name}"):
            sources.check(["lib.d"])
        sources.check(["lib.a"])
        after = [Sources(toy).code([name]) for name in ("lib.d", "lib.pack.c", "lib.a")]
        assert [x == y for x, y in zip(before, after, strict=True)] == [False, False, True]
        before, sources = after, Sources(toy)
    (words / "new.yml").unlink()
    with pytest.raises(EditedSourceError, match="data/words/new.yml"):
        sources.check(["lib.d"])


def test_every_module_that_opens_data_is_registered():
    opening = {name for name, path in SOURCES.modules.items()
               if "DATA /" in path.read_text() and name != "lib.study.paths"}
    assert opening == set(fingerprint.DATA_READ)
    for module in fingerprint.DATA_READ:
        assert all(list(paths.DATA.glob(pattern)) for pattern in fingerprint.data_read(module))


def test_a_world_counts_with_the_planted_one_that_lends_it_words(monkeypatch):
    assert fingerprint.data_read("lib.world.truth") == ["sandbox/*"]
    planted = SOURCES.code(["lib.world.truth"])
    monkeypatch.setenv(paths.WORLD, "policy")
    assert fingerprint.data_read("lib.world.truth") == ["sandbox/*", "policy/*"]
    assert fingerprint.data_read("lib.world.attacks") == ["attacks/sandbox.yml",
                                                          "attacks/policy.yml"]
    assert fingerprint.data_read("lib.chapters.claims") == ["claims.yml"]
    assert SOURCES.code(["lib.world.truth"]) != planted


TRIAL = """
import sys
from pathlib import Path
from lib.study.store import Store
from lib.study.progress import clock_text
def edit():
    path = Path("lib/study/progress.py")
    path.write_text(path.read_text().replace("divmod(round(seconds), 60)", "divmod(7, 60)"))
def make(folder):
    if "during" in sys.argv:
        edit()
    (folder / "a.txt").write_text(clock_text(61))
if "before" in sys.argv:
    edit()
print(Store(Path("run")).build("models", "toy", {}, make).joinpath("a.txt").read_text())
"""


@pytest.mark.parametrize("moment", ["before", "during"])
def test_an_edit_of_lib_during_a_run_stores_nothing(tmp_path, moment):
    """In a copy of the tree, with a process that has imported the code before it was edited."""
    shutil.copytree(paths.ROOT / "lib", tmp_path / "lib",
                    ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "trial.py").write_text(TRIAL)

    def trial(*arguments):
        return subprocess.run([sys.executable, "-B", "trial.py", *arguments], cwd=tmp_path,
                              text=True, capture_output=True,
                              env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"})

    assert trial().stdout == "1:01\n"
    shutil.rmtree(tmp_path / "run")
    stopped = trial(moment)
    assert "EditedSourceError" in stopped.stderr and "lib/study/progress.py" in stopped.stderr
    assert not list(tmp_path.glob("run/models/*"))
    assert trial().stdout == "0:07\n"  # a fresh process builds with the new code


def test_versions_are_those_of_the_installed_packages():
    found = packages()
    assert found["numpy"] == version("numpy") and found["torch"] == version("torch")
    assert found["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert set(packages(drawing=True)) - set(found) == {"matplotlib"}


def test_notebook_outputs_and_metadata_do_not_count(tmp_path):
    path = write_notebook(tmp_path, "00_a", "x = 1")
    before = notebook_fingerprint(path)
    content = json.loads(path.read_text())
    content["metadata"] = {}
    content["cells"][1] |= {"execution_count": 7, "outputs": [{"output_type": "stream"}]}
    content["cells"][1]["source"] = ["x = ", "1"]
    path.write_text(json.dumps(content))
    assert notebook_fingerprint(path) == before


def test_notebook_source_counts_comments_included(tmp_path):
    one = notebook_fingerprint(write_notebook(tmp_path, "00_a", "x = 1"))
    assert notebook_fingerprint(write_notebook(tmp_path, "00_a", "x = 2")) != one
    assert notebook_fingerprint(write_notebook(tmp_path, "00_a", "x = 1  # one")) != one


@pytest.mark.parametrize(
    ("cell", "modules"),
    [
        ("import lib.study.store", ["lib.study.store"]),
        ("from lib.study.store import Store", ["lib.study.store"]),
        ("from lib import study, errors", ["lib", "lib.errors", "lib.study"]),
        ("%matplotlib inline\nfrom lib.study.paths import ROOT\n!ls", ["lib.study.paths"]),
        ("def f():\n    import lib.errors as e", ["lib.errors"]),
        ("import numpy\nfrom library import x", []),
        ("print('import lib.study.store')", []),
    ],
)
def test_imports_of_a_notebook(tmp_path, cell, modules):
    assert notebook_modules(write_notebook(tmp_path, "00_a", cell)) == modules


def test_import_that_does_not_exist_is_explained(tmp_path):
    path = write_notebook(tmp_path, "00_a", "from lib.study.stor import Store")
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
