"""The lock, pyproject.toml and environment.yml name the same packages and the same Python."""

import ast
import re
import sys
import tomllib
from importlib import metadata

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement

from lib.models.public import READER
from lib.study.paths import ROOT
from tools import environment
from tools.environment import canonical

LOCK = environment.read_lock()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())

DIRECT = [
    *PROJECT["project"]["dependencies"],
    *PROJECT["project"]["optional-dependencies"]["test"],
    *PROJECT["build-system"]["requires"],
]

# A GPU build of torch pins these itself; the CPU build has none of them, so the lock cannot.
PINNED_BY_TORCH = re.compile(r"nvidia-|cuda-|triton")


def closure(name: str) -> set[str]:
    """Every package that `name` needs in this environment, itself included."""
    seen, queue = set(), [Requirement(name)]
    while queue:
        requirement = queue.pop()
        key = canonical(requirement.name)
        if PINNED_BY_TORCH.match(key) or (key, *sorted(requirement.extras)) in seen:
            continue
        seen.add((key, *sorted(requirement.extras)))
        for line in metadata.requires(key) or []:
            need = Requirement(line)
            extras = requirement.extras or {""}
            if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in extras):
                queue.append(need)
    return {key for key, *_ in seen}


@pytest.mark.parametrize("pin", DIRECT)
def test_direct_dependency_is_locked_at_its_exact_pin(pin):
    name, _, version = pin.partition("==")
    assert version, f"{pin} is no exact pin"
    assert LOCK[canonical(name)] == version


@pytest.mark.parametrize("pin", DIRECT)
def test_everything_that_a_direct_dependency_needs_is_locked(pin):
    assert closure(pin.partition("==")[0]) - set(LOCK) == set()


def test_lock_holds_nothing_that_no_direct_dependency_needs():
    needed = set().union(*(closure(pin.partition("==")[0]) for pin in DIRECT))
    assert set(LOCK) - needed == set()


def test_the_reader_of_packed_weights_is_that_of_the_extra():
    assert PROJECT["project"]["optional-dependencies"]["gguf"] == [READER]


def test_torch_is_the_agreed_version():
    assert LOCK["torch"] == "2.13.0"


def test_lock_names_no_host_and_no_build():
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"://|@|--|\+", text)


def test_lock_is_sorted_and_without_repetition():
    lines = (ROOT / "requirements.lock").read_text().splitlines()[1:]
    assert len(lines) == len(LOCK)
    assert lines == sorted(lines, key=str.upper)


def test_running_environment_satisfies_the_lock():
    assert environment.differences(LOCK, environment.installed()) == []


def test_conda_installs_the_lock_through_pip_and_nothing_else():
    plain = [entry for entry in CONDA["dependencies"] if isinstance(entry, str)]
    assert CONDA["name"] == "side-effects"
    assert {entry.partition("=")[0] for entry in plain} == {"python", "pip"}
    assert CONDA["dependencies"][-1] == {"pip": ["-r requirements.lock"]}


def test_all_files_name_the_same_lowest_python():
    floor = ".".join(map(str, environment.MINIMUM_PYTHON))
    assert PROJECT["project"]["requires-python"] == f">={floor}"
    assert f"python={floor}" in CONDA["dependencies"]
    assert f"version_info < ({floor.replace('.', ', ')})" in (ROOT / "scripts/setup.sh").read_text()


def code_of(path) -> str:
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def imported(path) -> set[str]:
    """Top-level names that a module or notebook imports, without the standard library and lib."""
    names = set()
    for node in ast.walk(ast.parse(code_of(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"lib"}


def test_what_the_code_imports_is_a_direct_dependency():
    direct = {canonical(pin.partition("==")[0]) for pin in DIRECT}
    owners = metadata.packages_distributions()
    files = [*ROOT.glob("lib/**/*.py"), *ROOT.glob("notebooks/*.ipynb")]
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in imported(path)
        if not {canonical(owner) for owner in owners.get(name, [])} & direct
    }
    assert wrong == set()
