"""Publishing: outputs of a whole run of the present source, and of nothing else; its exhibits."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lib.errors import InvalidValueError
from tools.publish import is_current, is_of_real, publish, publish_exhibits


def write(path, cells):
    nbformat.write(new_notebook(cells=cells), path)
    return path


def source():
    return [new_markdown_cell("# T"), new_code_cell("seed = 1", metadata={"tags": ["parameters"]}),
            new_code_cell("seed + 1")]


@pytest.fixture
def committed(tmp_path):
    return write(tmp_path / "committed.ipynb", source())


@pytest.fixture
def run():
    """Cells as papermill leaves them: an injected one, counts and its own metadata."""
    title, parameters, code = source()
    injected = new_code_cell("seed = 1", metadata={"tags": ["injected-parameters"]})
    for count, cell in enumerate((parameters, injected, code), start=1):
        cell.execution_count = count
        cell.metadata["papermill"] = {"status": "completed"}
    code.outputs = [new_output("execute_result", {"text/plain": "2"}, execution_count=3)]
    return [title, parameters, injected, code]


def test_outputs_are_copied_and_the_injected_cell_is_not(tmp_path, committed, run):
    publish(write(tmp_path / "run.ipynb", run), committed)
    cells = nbformat.read(committed, 4).cells
    assert [c.source for c in cells] == ["# T", "seed = 1", "seed + 1"]
    assert cells[2].outputs[0].data["text/plain"] == "2"
    assert "papermill" not in cells[2].metadata


def test_cells_are_counted_without_a_gap(tmp_path, committed, run):
    publish(write(tmp_path / "run.ipynb", run), committed)
    cells = nbformat.read(committed, 4).cells
    assert [c.execution_count for c in cells[1:]] == [1, 2]
    assert cells[2].outputs[0].execution_count == 2


def test_published_outputs_are_current_until_the_source_changes(tmp_path, committed, run):
    assert not is_current(committed)
    publish(write(tmp_path / "run.ipynb", run), committed)
    assert is_current(committed)
    notebook = nbformat.read(committed, 4)
    notebook.cells[2].source = "seed + 2"
    nbformat.write(notebook, committed)
    assert not is_current(committed)


def test_publishing_twice_changes_nothing(tmp_path, committed, run):
    executed = write(tmp_path / "run.ipynb", run)
    publish(executed, committed)
    before = committed.read_bytes()
    publish(executed, committed)
    assert committed.read_bytes() == before


def test_a_run_of_another_source_is_refused(tmp_path, committed, run):
    run[3].source = "seed + 3"
    with pytest.raises(InvalidValueError, match="run the notebook again"):
        publish(write(tmp_path / "run.ipynb", run), committed)


def test_a_run_that_failed_is_refused(tmp_path, committed, run):
    run[3].outputs = [new_output("error", ename="ValueError", evalue="x", traceback=[])]
    with pytest.raises(InvalidValueError, match="an error"):
        publish(write(tmp_path / "run.ipynb", run), committed)


def test_a_run_that_stopped_early_is_refused_and_nothing_is_written(tmp_path, committed, run):
    run[3].execution_count, before = None, committed.read_bytes()
    with pytest.raises(InvalidValueError, match="not run"):
        publish(write(tmp_path / "run.ipynb", run), committed)
    assert committed.read_bytes() == before


@pytest.fixture
def folders(tmp_path):
    """A reference run's folder of exhibits, and the committed one with what is older."""
    for name in ("run/figures/runs/03_a.csv", "run/figures/tables/03_a.csv", "run/figures/03_a.png",
                 "run/figures/tables/04_b.csv", "book/tables/03_old.csv", "book/03_a.png",
                 "book/tables/05_c.csv", "book/captions.yml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)

    def manifest(**changes):
        content = {"profile": "reference", "parameters": {}} | changes
        (tmp_path / "run" / "manifest.json").write_text(json.dumps(content))
        return publish_exhibits(tmp_path / "run" / "03_lora.ipynb", tmp_path / "book")

    return manifest, tmp_path / "book"


def texts(folder):
    return {path.relative_to(folder).as_posix(): path.read_text()
            for path in folder.rglob("*.*")}


def test_a_reference_runs_exhibits_and_runs_take_the_place_of_its_notebooks_own(folders):
    publish_them, book = folders
    assert publish_them() == 3
    assert texts(book) == {
        "03_a.png": "run/figures/03_a.png", "tables/03_a.csv": "run/figures/tables/03_a.csv",
        "runs/03_a.csv": "run/figures/runs/03_a.csv", "tables/05_c.csv": "book/tables/05_c.csv",
        "captions.yml": "book/captions.yml"}


def test_the_real_models_exhibits_lie_below_and_neither_run_touches_the_others(folders):
    publish_them, book = folders
    before = texts(book)
    assert publish_them(profile="real") == 3
    own = {f"real/{name}": f"run/figures/{name}"
           for name in ("03_a.png", "tables/03_a.csv", "runs/03_a.csv")}
    assert texts(book) == before | own
    publish_them()
    assert {name: text for name, text in texts(book).items() if name.startswith("real/")} == own


@pytest.mark.parametrize("changes", [{"profile": "sandbox"}, {"parameters": {"seed": 7}}])
def test_exhibits_of_any_other_run_stay_its_own(folders, changes):
    publish_them, book = folders
    before = texts(book)
    assert publish_them(**changes) is None and texts(book) == before


def test_a_real_models_outputs_stay_its_own(folders):
    publish_them, book = folders
    executed = book.parent / "run" / "03_lora.ipynb"
    for profile, real in (("real", True), ("reference", False), ("sandbox", False)):
        publish_them(profile=profile)
        assert is_of_real(executed) is real
    assert not is_of_real(book / "no_run.ipynb")
