"""What a result depends on besides its inputs: code, data files and packages, as hashes.

Code is the import closure of a module inside `lib`, as syntax trees without docstrings and
comments; a module imported by a computed name is not seen. Files are read when a process imports
this module: one that was edited since stops it before it records what either version made.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from platform import python_version_tuple
from threading import Lock

from lib.errors import EditedSourceError, InvalidValueError, UnknownNameError, nearest
from lib.study import paths
from lib.study.machine import installed

PACKAGE = "lib"
DATA_READ = {
    "lib.world.attacks": "attacks/{world}.yml",
    "lib.world.guards": "models.yml",
    "lib.world.toxicity": "toxicity/{world}.yml",
    "lib.world.truth": "{world}/*",
    "lib.chapters.checklist": "checklist.yml",
    "lib.chapters.claims": "claims.yml",
    "lib.chapters.published": "published/*",
    "lib.forecasting.instructions.export": "instructions_card.md",
    "lib.forecasting.instructions.styles": "instructions.yml",
    "lib.measures.benchmarks.registry": "benchmarks/*",
    "lib.measures.budget": "budget.yml",
    "lib.measures.chat.judge": "judging/*",
}
"""Modules that read files of ``data/``: those count as their code.

``{world}`` is the planted world, which lends its words to others, and the world in use.
"""
COMPUTING = ("torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy",
             "pandas", "scipy", "statsmodels", "arch", "pyarrow")
"""Packages whose versions decide numbers."""
CARRIERS = frozenset({"lib.errors", "lib.study.paths", "lib.study.progress", "lib.study.workers"})
"""Modules that decide no number: they report, or carry work to where it is done."""
TURN = Lock()
"""One thread parses at a time: CPython 3.11 counts the depth of all in one place, and gives up."""
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Where a statement holds others."""


def inside(module: str | None) -> bool:
    """Whether a module is one of `lib`."""
    return module == PACKAGE or str(module).startswith(f"{PACKAGE}.")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def packages(drawing: bool = False) -> dict[str, str]:
    """Versions of Python and of what computes; with `drawing`, of what draws, too."""
    found = installed([*COMPUTING, *(["matplotlib"] if drawing else [])])
    python = ".".join(python_version_tuple()[:2])
    return {"python": python, **{name: number or "none" for name, number in found.items()}}


class Sources:
    """Modules of `lib` under `root` and the data files that they read, as they are just now."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules = {_module(path.relative_to(root)): path  # editors leave hidden ones
                        for path in sorted((root / PACKAGE).rglob("[!.]*.py"))}
        files = [*self.modules.values(),
                 *(p for m in DATA_READ for p in self._data(m, paths.WORLDS))]
        self._states = {path: _state(path) for path in files}
        self._contents = {path: path.read_bytes() for path in files}
        self._prints: dict[Path, str] = {}
        self._imports: dict[str, set[str]] = {}

    def code(self, modules: Iterable[str], but: frozenset[str] = frozenset()) -> str:
        """SHA-256 of the closure of `modules` and of the data files that it reads, `but` some."""
        closure = self.closure(modules) - but
        self.check(closure)
        names = {path.relative_to(self.root).as_posix(): path for path in self._files(closure)}
        lines = [f"{name} {self._print(path)}" for name, path in sorted(names.items())]
        return _hash("\n".join(lines).encode())

    def closure(self, modules: Iterable[str]) -> frozenset[str]:
        """`modules`, all of `lib` that importing them runs, and the packages that enclose these."""
        found: set[str] = set()
        waiting = list(modules)
        while waiting:
            module = waiting.pop()
            if module in found:
                continue
            if module not in self.modules:
                raise UnknownNameError("a module that exists", module, "correct the import")
            found.add(module)
            waiting += self._imported(module)
            if "." in module:
                waiting.append(module.rpartition(".")[0])
        return frozenset(found)

    def check(self, modules: Iterable[str]) -> None:
        """Refuse to go on if code or data of the closure was edited since this was made."""
        for path in self._files(self.closure(modules)):
            state = _state(path)
            if state == self._states.get(path):
                continue
            if path not in self._contents or self._now(path) != self._print(path):
                raise EditedSourceError(
                    "code and data that stay as they are while a run uses them",
                    f"{path.relative_to(self.root).as_posix()} edited since this run began, so "
                    "that what runs may be either version",
                    "run the same command again, or restart the notebook's kernel; what is "
                    "finished is kept",
                )
            self._states[path] = state  # other words, the same code

    def _files(self, closure: Iterable[str]) -> Iterator[Path]:
        """Files of a closure, those that have been deleted or added since included."""
        for module in closure:
            yield self.modules[module]
            if module in DATA_READ:
                yield from self._data(module)
                yield from (path for path in self._contents for read in data_read(module)
                            if path.match(f"data/{read}"))

    def _data(self, module: str, worlds: Iterable[str] = ()) -> list[Path]:
        return [path for read in data_read(module, worlds)
                for path in (self.root / "data").glob(read) if path.is_file()]

    def _imported(self, module: str) -> set[str]:
        if module not in self._imports:
            path = self.modules[module]
            tree = self._tree(path, self._contents[path])
            self._imports[module] = imported(tree, self.modules)
            self._prints[path] = _hash(ast.dump(tree).encode())  # to parse twice takes a while
        return self._imports[module]

    def _print(self, path: Path) -> str:
        if path not in self._prints:
            self._prints[path] = self._printed(path, self._contents[path])
        return self._prints[path]

    def _now(self, path: Path) -> str:
        try:
            return self._printed(path, path.read_bytes())
        except (OSError, InvalidValueError):
            return "gone"

    def _printed(self, path: Path, content: bytes) -> str:
        code = path.suffix == ".py"
        return _hash(ast.dump(self._tree(path, content)).encode() if code else content)

    def _tree(self, path: Path, content: bytes) -> ast.Module:
        """Syntax tree without docstrings."""
        try:
            with TURN:
                tree = ast.parse(content)
        except (SyntaxError, ValueError) as error:
            raise InvalidValueError(
                f"valid Python in {path.relative_to(self.root).as_posix()}", str(error),
                "mend the file",
            ) from None
        for node in _statements(tree):
            for block in set(BLOCKS) & set(node._fields):
                kept = [inner for inner in getattr(node, block) if not _is_text(inner)]
                setattr(node, block, kept)
        return tree


def data_read(module: str, worlds: Iterable[str] = ()) -> list[str]:
    """Patterns of the files below ``data/`` that a module reads, by default in the world in use."""
    worlds = worlds or (paths.PLANTED, paths.world())
    return list(dict.fromkeys(DATA_READ[module].format(world=world) for world in worlds))


def imported(tree: ast.Module, known: Iterable[str]) -> set[str]:
    """Modules that running a tree imports: any absolute import, and `known` ones from a package."""
    found: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if inside(alias.name)}
        elif isinstance(node, ast.ImportFrom) and not node.level and inside(node.module):
            # In `from lib import errors` the module is named after `import`.
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module, *inner.intersection(known)}
    return found


def notebook_fingerprint(path: Path) -> str:
    """SHA-256 of a notebook's cells: types, sources and tags; outputs and metadata are ignored."""
    cells = [[cell["cell_type"], cell["source"], sorted(cell.get("metadata", {}).get("tags", []))]
             for cell in notebook_cells(path)]
    return _hash(json.dumps(cells).encode())


def notebook_modules(path: Path) -> list[str]:
    """Modules of `lib` that a notebook imports, sorted; all of them where a cell is not Python."""
    known = SOURCES.modules
    named: set[str] = set()
    for cell in notebook_cells(path):
        if cell["cell_type"] == "code":
            named |= _named(cell["source"])
    if unknown := sorted(named - known.keys()):
        raise UnknownNameError(
            f"{path.name} to import modules of {PACKAGE} that exist", unknown[0],
            nearest(unknown[0], sorted(known)),
        )
    return sorted(named)


def _named(source: str) -> set[str]:
    lines = ["" if line.lstrip()[:1] in ("%", "!") else line for line in source.split("\n")]
    try:
        return imported(ast.parse("\n".join(lines)), SOURCES.modules)
    except SyntaxError:
        return set(SOURCES.modules)


def notebook_cells(path: Path) -> list[dict]:
    """Cells of a notebook's file, the source of each as one text."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return [cell | {"source": "".join(cell["source"])} for cell in cells]
    except (ValueError, KeyError, TypeError):
        raise InvalidValueError(
            "a notebook in Jupyter's JSON format", f"{path.name}, which cannot be read as one",
            "restore the file from the repository",
        ) from None


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """A tree and all its statements, but those that only type checkers run."""
    yield node
    test = getattr(node, "test", None)
    typing = "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))
    for block in BLOCKS[1:] if typing else BLOCKS:
        for inner in getattr(node, block, ()):
            yield from _statements(inner)


def _is_text(node: ast.AST) -> bool:
    value = getattr(node, "value", None)
    return (isinstance(node, ast.Expr) and isinstance(value, ast.Constant)
            and isinstance(value.value, str))


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


SOURCES = Sources(paths.ROOT)
"""What this process runs."""
