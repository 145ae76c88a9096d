"""Plan: which notebooks, and why they run."""

import json
import os
import shutil

import pytest
from toy_notebooks import write_notebook

from lib.errors import UnknownNameError
from lib.study import paths
from lib.study.fingerprint import Sources, file_sha256, notebook_modules, packages
from lib.study.profiles import load_profile
from lib.study.store import Store
from tools.run.plan import discover, find, fingerprint, reason_to_run, select


@pytest.fixture
def notebooks(tmp_path):
    for name in ("02_measuring", "00_world", "01_benchmarks", "10_last"):
        write_notebook(tmp_path, name, "import lib.errors")
    (tmp_path / "notes.ipynb").write_text("{}")
    return discover(tmp_path)


def names(notebooks):
    return [notebook.name for notebook in notebooks]


def test_order_is_the_order_of_names(notebooks):
    assert names(notebooks) == ["00_world", "01_benchmarks", "02_measuring", "10_last"]


def test_title_is_the_first_heading(tmp_path):
    path = write_notebook(tmp_path, "03_x", "y = 1")
    content = json.loads(path.read_text())
    content["cells"].insert(0, {"cell_type": "markdown", "source": ["text\n", "# The title\n"]})
    path.write_text(json.dumps(content))
    assert discover(tmp_path)[0].title() == "The title"


@pytest.mark.parametrize("name", ["02", "2", "02_measuring", "notebooks/02_measuring.ipynb"])
def test_ways_to_name_a_notebook(notebooks, name):
    assert find(notebooks, name).name == "02_measuring"


@pytest.mark.parametrize("name", ["09", "02_measurin", ""])
def test_unknown_notebook(notebooks, name):
    with pytest.raises(UnknownNameError, match="02_measuring"):
        find(notebooks, name)


def test_selection(notebooks):
    assert names(select(notebooks)) == names(notebooks)
    assert names(select(notebooks, only=["10", "00"])) == ["00_world", "10_last"]
    assert names(select(notebooks, start="02")) == ["02_measuring", "10_last"]


def test_fingerprint_follows_settings_but_not_the_description(notebooks):
    profile = load_profile("smoke")
    one = fingerprint(notebooks[0], profile)
    same = fingerprint(notebooks[0], profile.model_copy(update={"description": "other words"}))
    other = fingerprint(notebooks[0], load_profile("smoke", {"finetune.rank": 7}))
    assert one == same and one["packages"] == packages(drawing=True)
    assert {part for part in one if one[part] != other[part]} == {"parameters"}


CURRENT = {"source": "s", "parameters": "p", "code": "c",
           "packages": {"numpy": "2.4.6", "torch": "2.13.0"}}


@pytest.fixture
def finished(tmp_path):
    """A run folder with one output, one exhibit and one artefact, and its manifest entry."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("00_a.ipynb", "00_x.csv"):
        (folder / name).write_text(name)
    store = Store(folder)
    store.build("models", "base", {}, lambda d: (d / "a.txt").write_text("x"))
    entry = {
        "status": "done", "fingerprint": CURRENT,
        "output": file_sha256(folder / "00_a.ipynb"),
        "exhibits": {"00_x.csv": file_sha256(folder / "00_x.csv")},
        "artefacts": {path.relative_to(folder).as_posix(): key for path, key in store.used},
    }
    return folder, entry, store.used[0][0]


def why(folder, entry, **changes):
    return reason_to_run(entry, CURRENT | changes, folder, "00_a.ipynb")


def test_finished_and_unchanged_stands(finished):
    folder, entry, _ = finished
    assert why(folder, entry) is None


@pytest.mark.parametrize("part", ["source", "parameters", "code"])
def test_any_changed_part_is_a_reason(finished, part):
    folder, entry, _ = finished
    assert "changed" in why(folder, entry, **{part: "new"})


def test_changed_packages_are_named_with_their_versions(finished):
    folder, entry, _ = finished
    now = {"numpy": "2.4.5", "torch": "2.13.0", "arch": "8.0.0"}
    assert why(folder, entry, packages=now) == (
        "packages changed: numpy 2.4.6 -> 2.4.5, arch none -> 8.0.0")
    for unknown in ({}, {"packages": "x"}):
        before = {k: v for k, v in CURRENT.items() if k != "packages"} | unknown
        assert "not known" in why(folder, entry | {"fingerprint": before})


def test_never_run_or_failed(finished):
    folder, entry, _ = finished
    assert "not run yet" in why(folder, None)
    assert "failed" in why(folder, entry | {"status": "failed"})


@pytest.mark.parametrize("name", ["00_a.ipynb", "00_x.csv"])
def test_missing_or_changed_result(finished, name):
    folder, entry, _ = finished
    (folder / name).write_text("edited")
    assert name in why(folder, entry)
    (folder / name).unlink()
    assert name in why(folder, entry)


def test_a_flipped_byte_of_an_artefact_is_found_where_all_bytes_are_read(finished, monkeypatch):
    folder, entry, artefact = finished
    times = (artefact / "a.txt").stat()
    (artefact / "a.txt").write_text("y")
    os.utime(artefact / "a.txt", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert why(folder, entry) is None
    monkeypatch.setenv("STUDY_VERIFY", "1")
    assert "changed bytes" in why(folder, entry)


def test_damaged_or_missing_artefact(finished):
    folder, entry, artefact = finished
    (artefact / "a.txt").write_text("y")
    assert "changed bytes" in why(folder, entry)
    os.rename(artefact, folder / "elsewhere")
    assert "missing" in why(folder, entry)


def test_a_committed_table_that_was_read_counts(tmp_path, monkeypatch):
    """Another reference, or the first one, is drawn behind this run's: the notebook runs again."""
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    table = tmp_path / "tables" / "02_x.csv"
    table.parent.mkdir()
    (tmp_path / "out.ipynb").write_text("x")
    prints = {"source": "s", "parameters": "p", "code": "c", "packages": {}}
    entry = {"status": "done", "fingerprint": prints, "exhibits": {}, "artefacts": {},
             "output": file_sha256(tmp_path / "out.ipynb"), "committed": {"tables/02_x.csv": ""}}
    assert reason_to_run(entry, prints, tmp_path, "out.ipynb") is None
    table.write_text("new")
    assert reason_to_run(entry, prints, tmp_path, "out.ipynb") == (
        "the committed tables/02_x.csv changed")
    entry["committed"] = {"tables/02_x.csv": file_sha256(table)}
    assert reason_to_run(entry, prints, tmp_path, "out.ipynb") is None


def test_a_changed_share_of_the_world_marks_every_notebook_on_models(tmp_path):
    """As `list` shows it, before anything has run again."""
    for name in ("lib", "data"):
        shutil.copytree(paths.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns(
            "__pycache__", "bases"))
    used = {n.number: notebook_modules(n.path) for n in discover(paths.NOTEBOOKS)}
    before = {number: Sources(tmp_path).code(modules) for number, modules in used.items()}
    path = tmp_path / "data" / "sandbox" / "occupations.yml"
    path.write_text(path.read_text() + "# a share\n")
    after = Sources(tmp_path)
    assert [number for number in used if after.code(used[number]) != before[number]] == [
        "00", "02", "03", "04", "05", "06", "07", "08"]
