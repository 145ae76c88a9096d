"""Every committed notebook: its shape, and stored outputs that belong to its source."""

import ast
import builtins
import re

import nbformat
import pytest

from lib.chapters.claims import ABSENT
from lib.study import paths
from lib.study.notebook import cell_to_run
from tools.handout import is_handout
from tools.publish import is_current
from tools.reference import verdicts

NOTEBOOKS = sorted(paths.NOTEBOOKS.glob("*.ipynb"))
MACHINE_PATH = re.compile(
    r"(?<![\w/.:])/(?:home|root|tmp|work|Users|mnt|var|opt|private)/|[A-Z]:\\\\?Users"
)
DEFAULTS = {"profile": "sandbox", "seed": 1, "overrides": {}}

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def solved(path):
    """Skip what a hand-out leaves to its readers: outputs and solutions."""
    if is_handout(path):
        pytest.skip("a hand-out has neither outputs nor solutions")


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def outputs(path):
    return [(i, output) for i, cell in enumerate(code_cells(path)) for output in cell.outputs]


def test_is_valid_and_finds_its_kernel_anywhere(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.kernelspec.language == "python"


def test_has_one_parameters_cell_of_three_literals(path):
    tagged = [c for c in code_cells(path) if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    body = ast.parse(tagged[0].source).body
    assert all(isinstance(statement, ast.Assign) for statement in body)
    values = {statement.targets[0].id: ast.literal_eval(statement.value) for statement in body}
    assert values == DEFAULTS


def test_opens_with_question_outcome_prerequisites_time_and_outputs(path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert re.match(rf"# {path.name[:2]} · ", first.source)
    words = ("**Question.**", "**At the end you have**", "| Prerequisites |", "| Outputs |",
             "| Time and hardware |")
    assert [w for w in words if w not in first.source] == []


def test_opens_the_study_under_its_own_number(path):
    source = "\n".join(cell.source for cell in code_cells(path))
    assert f'Study(profile, seed, overrides, notebook="{path.name[:2]}")' in source


def test_is_short_and_its_cells_are_small(path):
    assert 25 <= len(read(path).cells) <= 55
    long = {i: len(c.source.splitlines()) for i, c in enumerate(code_cells(path))}
    assert {i: lines for i, lines in long.items() if lines > 15} == {}


def test_every_code_cell_follows_some_prose(path):
    cells = read(path).cells
    code = sum(cell.cell_type == "code" for cell in cells)
    assert 0.3 <= code / len(cells) <= 0.7


def test_asks_for_a_prediction_and_hides_its_solutions(path):
    prose = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    assert re.search(r"predict|guess", prose, re.IGNORECASE)
    solved(path)
    assert prose.count("<details>") == prose.count("</details>") > 0


def test_what_its_prose_names_exists(path):
    prose = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    assert [n for n in re.findall(r"\blib(?:\.\w+)+", prose) if not is_there(n.split("."))] == []


def is_there(parts):
    """Whether a dotted name is a room, a module, or defined in one."""
    for k in range(len(parts), 1, -1):
        file = paths.ROOT.joinpath(*parts[:k]).with_suffix(".py")
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            return all(re.search(rf"^(?:def |class )?{name}\b", text, re.M) for name in parts[k:])
    return paths.ROOT.joinpath(*parts).is_dir()


def test_installs_and_downloads_nothing(path):
    source = "\n".join(cell.source for cell in code_cells(path))
    forbidden = r"^\s*[!%].*|\bpip install\b|urlopen|requests\.get"
    assert re.findall(forbidden, source, re.MULTILINE) == []


def test_stored_outputs_came_from_the_stored_source(path):
    solved(path)
    assert is_current(path), "run it and publish it: side-effects publish EXECUTED"


def test_was_run_from_top_to_bottom(path):
    solved(path)
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert outputs(path)


def test_stored_outputs_hold_no_error(path):
    bad = [(i, output.get("name")) for i, output in outputs(path)
           if output.output_type == "error" or output.get("name") == "stderr"]
    assert bad == []


def test_verdicts_that_it_shows_are_those_of_the_committed_runs(path):
    solved(path)
    shown = [output["data"]["text/html"] for cell in code_cells(path)
             if "claim_table(study)" in cell.source for output in cell.outputs]
    cells = [re.findall("<td>(.*?)</td>", row)[-3:] for row in "".join(shown).split("<tr>")[1:]]
    ours, real = (verdicts(figures, path.stem[:2])
                  for figures in (paths.FIGURES, paths.REAL_FIGURES))
    known = [[ours[id].verdict, real[id].verdict.replace(ABSENT, "")] for id in ours]
    assert cells == [[planted, beside, planted] for planted, beside in known], (
        "exhibits changed after it was run: run and publish it anew")


def test_stored_outputs_name_no_machine_path(path):
    texts = []
    for i, output in outputs(path):
        data = output.get("data", {})
        texts += [(i, output.get("text", ""))]
        texts += [(i, str(value)) for kind, value in data.items() if kind.startswith("text/")]
    assert [i for i, text in texts if MACHINE_PATH.search(text)] == []


def test_shows_at_least_one_picture(path):
    solved(path)
    assert any("image/png" in output.get("data", {}) for _, output in outputs(path))


@pytest.mark.parametrize("planted", [True, False], ids=["planted", "real"])
def test_what_is_passed_over_defines_nothing_that_is_used(path, planted):
    """Cells for the other kind of model are left out: the rest must still know all its names."""
    known, missing = {*dir(builtins), "display"}, {}
    for i, cell in enumerate(code_cells(path)):
        if cell_to_run(cell.source.splitlines(keepends=True), planted)[0].startswith("print('Only"):
            continue
        tree = ast.parse(cell.source)
        own = bound(tree)
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        if unknown := used - known - own:
            missing[i] = sorted(unknown)
        known |= own
    assert missing == {}


def bound(tree):
    """Names that a cell defines: imports, assignments, functions and their arguments."""
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and
             isinstance(n.ctx, ast.Store)}
    names |= {a.asname or a.name.partition(".")[0] for n in ast.walk(tree)
              if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names}
    names |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    return names | {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
