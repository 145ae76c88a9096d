"""The hand-out: no solution, no output, everything else as it was."""

import nbformat
import pytest

from lib.study import paths
from lib.study.fingerprint import notebook_cells
from tools.handout import is_handout

NOTEBOOKS = sorted(paths.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


@pytest.fixture
def given_out(tmp_path, side_effects):
    assert side_effects("handout", "--out", str(tmp_path / "out")) == 0
    return tmp_path / "out"


def test_no_solution_and_no_output_is_left_and_hints_stay(given_out):
    for path in NOTEBOOKS:
        texts = [c["source"] for c in notebook_cells(given_out / path.name)]
        kept = "\n".join(texts)
        assert "Solution" not in kept and kept.count("<details>") == kept.count("</details>")
        hints = "\n".join(c["source"] for c in notebook_cells(path)).count("<summary>Hint")
        assert kept.count("<summary>Hint") == hints
        cells = nbformat.read(given_out / path.name, as_version=4).cells
        assert not any(cell.get("outputs") for cell in cells)


def test_code_stays_and_the_notebook_says_what_it_is(given_out):
    for path in NOTEBOOKS:
        code = [[c["source"] for c in notebook_cells(p) if c["cell_type"] == "code"]
                for p in (path, given_out / path.name)]
        assert code[0] == code[1]
        assert is_handout(given_out / path.name) and not is_handout(path)
        nbformat.validate(nbformat.read(given_out / path.name, as_version=4))


def test_nothing_is_written_over(given_out, side_effects, capsys):
    assert side_effects("handout", "--out", str(given_out)) == 2
    assert "new or empty folder" in capsys.readouterr().err
