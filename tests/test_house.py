"""The laws of the house: who may import whom, empty faces, nothing that nobody reaches."""

import ast
import json
import re
from functools import cache
from pathlib import Path

import grimp
import pytest

from lib.study.paths import ROOT

# Top floor first: a room may import the rooms named beside it, and no other.
MAY_IMPORT = {
    "tools": {"chapters", "measures", "statistics", "forecasting", "world", "training", "study",
              "models", "plots", "errors"},
    "chapters": {"measures", "statistics", "forecasting", "world", "training", "study", "models",
                 "plots", "errors"},
    "measures": {"statistics", "forecasting", "world", "study", "models", "plots", "errors"},
    "statistics": {"forecasting", "study", "errors"},
    "forecasting": {"study", "errors"},
    "world": {"study", "models", "errors"},
    "training": {"study", "models", "errors"},
    "study": {"plots", "errors"},
    "models": {"errors"},
    "plots": {"errors"},
    "errors": set(),
}
MODULES = sorted(p for p in (ROOT / "lib").rglob("*.py") if p.name != "__init__.py")
SECTION = re.compile(
    r"^\s*(Parameters|Returns|Raises|Attributes|Yields|Examples|Notes)\n\s*-{3,}$", re.M)


def room(module: str) -> str:
    """``lib.study.store`` is in study, ``tools.cli`` in tools."""
    first, *inner = module.split(".")
    return inner[0] if first == "lib" and inner else first


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("lib", "tools", cache_dir=None)


def test_imports_go_downwards_only():
    wrong = sorted(
        f"{module} imports {other}" for module in graph().modules
        for other in graph().find_modules_directly_imported_by(module)
        if room(other) not in {room(module), *MAY_IMPORT.get(room(module), ())}
    )
    assert wrong == []


def test_every_room_is_in_the_table_and_there_are_ten_at_most():
    rooms = {room(m) for m in graph().modules if m.startswith("lib.")}
    assert rooms <= set(MAY_IMPORT) and len(rooms) <= 10


def test_faces_are_empty_and_nothing_is_called_utils():
    files = [p for place in ("lib", "tools") for p in (ROOT / place).rglob("*.py")]
    assert [p for p in files if p.name == "__init__.py" and p.read_text().strip()] == []
    assert [p for p in files if p.name == "utils.py" or "__all__" in p.read_text()] == []


def test_only_the_world_knows_its_tokens():
    outside = [p for place in ("lib", "tools") for p in (ROOT / place).rglob("*.py")
               if (ROOT / "lib" / "world") not in p.parents]
    assert [p for p in outside if _imports(_parsed(p), "lib.world.tokenizer")] == []
    shown = [*notebooks(), *(ROOT / "benchmarks").glob("*.py")]
    taken = set().union(*(_imports(_parsed(path), "lib.world.tokenizer") for path in shown))
    assert taken <= {"world_tokenizer"}


def test_every_module_and_public_definition_says_what_it_is_for():
    silent = [f"{name}: the module" for name, tree in _library().items()
              if not ast.get_docstring(tree)]
    silent += [f"{name}.{label}" for name, label, node in _documented()
               if not re.search(r"\b_", label) and not ast.get_docstring(node)]
    assert silent == []


def test_sections_of_docstrings_are_for_what_a_notebook_or_command_calls():
    called = set().union(*(_names(_parsed(path)) for path in [*notebooks(), *_programs()]))
    wordy = [f"{name}.{label}" for name, label, node in _documented()
             if SECTION.search(ast.get_docstring(node) or "")
             and label.rpartition(".")[2] not in called]
    assert wordy == []


def test_everything_in_lib_is_reached_from_a_notebook_command_or_benchmark():
    assert unreached() == []


# --- what is reached ----------------------------------------------------------------------------

def unreached() -> list[str]:
    """Top-level names of lib that nothing outside the tests reaches, sorted.

    A name is reached if a notebook, tool or benchmark uses it, or a definition that is reached
    does; what a module does on import counts once any of its names is reached.
    """
    definitions = {(name, each): node for name, tree in _library().items()
                   for node in tree.body for each in _defined(node)}
    waiting = [use for path in [*notebooks(), *_programs()]
               for use in _uses(_parsed(path), _parsed(path), "")]
    reached, opened = set(), set()
    while waiting:
        module, name = use = waiting.pop()
        if use in reached or use not in definitions:
            continue
        reached.add(use)
        tree = _library()[module]
        waiting += _uses(definitions[use], tree, module)
        if module not in opened:
            opened.add(module)
            for node in tree.body:
                if not _defined(node) and not isinstance(node, ast.Import | ast.ImportFrom):
                    waiting += _uses(node, tree, module)
    return sorted(f"{module}.{name}" for module, name in set(definitions) - reached)


def _defined(node: ast.stmt) -> list[str]:
    """Names that a statement at the top of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [
        node.target] if isinstance(node, ast.AnnAssign) else []
    return [n.id for target in targets for n in ast.walk(target)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def _uses(node: ast.AST, tree: ast.Module, module: str) -> set[tuple[str, str]]:
    """(module, name) of all that a piece of code may mean, by its module's imports."""
    bound, found = _bound(tree), set()
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            found.add(bound.get(each.id, (module, each.id)))
        elif isinstance(each, ast.Attribute):
            dotted = _dotted(each.value)
            origin, name = bound.get(dotted, ("", dotted))
            found.add((f"{origin}.{name}" if origin else name, each.attr))
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            words = re.findall(r"\w+", each.value) if len(each.value) < 200 else []
            found |= {bound[word] for word in words if word in bound}  # annotations in quotes
    return found


def _bound(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """What every imported name of a module stands for."""
    bound = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            bound |= {a.asname or a.name: (node.module, a.name) for a in node.names}
        elif isinstance(node, ast.Import):
            bound |= {a.asname or a.name: ("", a.name) for a in node.names}
    return bound


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


# --- files --------------------------------------------------------------------------------------

def notebooks() -> list[Path]:
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def _programs() -> list[Path]:
    return [p for place in ("tools", "benchmarks") for p in sorted((ROOT / place).rglob("*.py"))]


@cache
def _parsed(path: Path) -> ast.Module:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
        text = "\n".join("".join(c["source"]) for c in cells)
    return ast.parse(text)


@cache
def _library() -> dict[str, ast.Module]:
    return {".".join(p.relative_to(ROOT).with_suffix("").parts): _parsed(p) for p in MODULES}


def _imports(tree: ast.Module, module: str) -> set[str]:
    """Names taken from `module`, or its own name where it is imported as a whole."""
    package, _, last = module.rpartition(".")
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            found |= names if node.module == module else (
                names & {last} if node.module == package else set())
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name == module}
    return found


def _names(tree: ast.Module) -> set[str]:
    return {node.id if isinstance(node, ast.Name) else node.attr for node in ast.walk(tree)
            if isinstance(node, ast.Name | ast.Attribute)}


def _documented() -> list[tuple[str, str, ast.AST]]:
    """Module, name and node of functions and classes at the top, and of methods."""
    found = []
    for name, tree in _library().items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.append((name, node.name, node))
            if isinstance(node, ast.ClassDef):
                found += [(name, f"{node.name}.{inner.name}", inner) for inner in node.body
                          if isinstance(inner, ast.FunctionDef)]
    return found


@pytest.mark.parametrize(("text", "names"), [
    ("X = 1\ndef f(): return X\n", ["X", "f"]), ("a, b = 1, 2", ["a", "b"]), ("x: int = 3", ["x"]),
    ("x.y = 3", []), ("print(1)", []),
])
def test_definitions_are_found(text, names):
    assert [name for node in ast.parse(text).body for name in _defined(node)] == names


def test_uses_follow_imports():
    tree = ast.parse("from lib.a import f as g\nimport lib.b\nfrom lib import c\n"
                     "def h(x: 'g'): return lib.b.k(c.m, own)")
    uses = _uses(tree.body[-1], tree, "lib.z")
    assert {("lib.a", "f"), ("lib.b", "k"), ("lib.c", "m"), ("lib.z", "own")} <= uses
