"""Fingerprints: what a result depends on, as hashes.

Code is fingerprinted by its *import closure* inside its package, so that a change in one module
reruns exactly what imports it, directly or not. Imports are found statically; a module that is
imported by a computed name (``importlib.import_module(name)``) is not seen.
"""

import ast
import hashlib
import json
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import grimp

from lib.errors import InvalidValueError, UnknownNameError, nearest
from lib.study import paths

DATA_READ = {
    "lib.world": "sandbox/*",
    "lib.chapters.published": "published/*",
    "lib.forecasting.instructions": "instructions.yml",
    "lib.measures.benchmarks": "benchmarks/*",
}
"""Packages of `lib` that read files of ``data/``: those count as their code."""


def code_fingerprint(modules: Sequence[str]) -> str:
    """SHA-256 of the import closure of `modules` and of the data folders it reads.

    Parameters
    ----------
    modules : sequence of str
        Dotted names inside one importable package, such as ``["lib.models"]``.

    Raises
    ------
    UnknownNameError
        A module that does not exist.
    """
    digest = hashlib.sha256()
    for name, path in _sources(import_closure(modules)):
        digest.update(f"{name} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def import_closure(modules: Sequence[str]) -> frozenset[str]:
    """`modules` and all modules of their package that importing them runs.

    The packages that enclose a module are part of it: ``import lib.a.b`` runs ``lib/__init__.py``
    and ``lib/a/__init__.py`` first. Imports under ``if TYPE_CHECKING`` do not count.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        graph = _graph(module.partition(".")[0])
        if module not in graph.modules:
            raise UnknownNameError("a module that exists", module, "correct the import")
        found.add(module)
        waiting += graph.find_modules_directly_imported_by(module)
        if "." in module:
            waiting.append(module.rpartition(".")[0])
    return frozenset(found)


def notebook_fingerprint(path: Path) -> str:
    """SHA-256 of a notebook's cells: types, sources and tags; outputs and metadata are ignored."""
    cells = [
        [cell["cell_type"], _source(cell), sorted(cell.get("metadata", {}).get("tags", []))]
        for cell in _cells(path)
    ]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def notebook_modules(path: Path, package: str = "lib") -> list[str]:
    """Modules of `package` that a notebook imports, sorted.

    Lines of IPython magic are skipped. A cell that is not Python otherwise counts as importing
    the whole package: rather run once too often than keep a stale result.

    Raises
    ------
    UnknownNameError
        The notebook imports a module of `package` that does not exist.
    """
    known = _graph(package).modules
    named: set[str] = set()
    for cell in _cells(path):
        if cell["cell_type"] == "code":
            named |= _imported_names(_source(cell), known)
    ours = sorted(name for name in named if name.partition(".")[0] == package)
    if unknown := [name for name in ours if name not in known]:
        raise UnknownNameError(
            f"{path.name} to import modules of {package} that exist", unknown[0],
            nearest(unknown[0], sorted(known)),
        )
    return ours


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _graph(package: str) -> grimp.ImportGraph:
    # Read once a process: the code that runs is the code that was there when it started.
    return grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)


def _sources(closure: frozenset[str]) -> list[tuple[str, Path]]:
    """Name and path of every file behind a closure, in a fixed order."""
    files = {name: path for name in closure if (path := _module_path(name)).is_file()}
    for package, pattern in DATA_READ.items():
        if any(name == package or name.startswith(f"{package}.") for name in closure):
            files |= {
                f"data/{path.relative_to(paths.DATA).as_posix()}": path
                for path in paths.DATA.glob(pattern) if path.is_file()
            }
    return sorted(files.items())


def _module_path(module: str) -> Path:
    package, *inner = module.split(".")
    base = _package_folder(package).joinpath(*inner)
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


@cache
def _package_folder(package: str) -> Path:
    import importlib.util

    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UnknownNameError("an importable package", package, "correct the import")
    return Path(os.fspath(list(spec.submodule_search_locations)[0]))


def _cells(path: Path) -> list[dict]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError):
        raise InvalidValueError(
            "a notebook in Jupyter's JSON format", f"{path.name}, which cannot be read as one",
            "restore the file from the repository",
        ) from None


def _source(cell: dict) -> str:
    return "".join(cell["source"])


def _imported_names(source: str, known: set[str]) -> set[str]:
    code = "\n".join("" if line.lstrip()[:1] in ("%", "!") else line for line in source.split("\n"))
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return set(known)
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            named.add(node.module)
            # In `from lib import store` the module is named after `import`.
            named |= {f"{node.module}.{alias.name}" for alias in node.names} & known
    return named
