"""The check of Python and packages, against folders of package metadata laid by hand."""

import subprocess
import sys
from pathlib import Path

import pytest

from lib.errors import EnvironmentProblem
from lib.study import paths
from tools import environment
from tools.environment import Difference


def lay(site: Path, name: str, version: str, record: bool = True) -> Path:
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if record:
        (folder / "RECORD").write_text("")
    return folder


def write_lock(folder: Path, text: str) -> Path:
    path = folder / "requirements.lock"
    path.write_text(text)
    return path


def test_lock_is_read_by_canonical_name_without_comments(tmp_path):
    path = write_lock(tmp_path, "# note\n\nhuggingface_hub==2.4.0\nJinja2==3.1.6\n")
    assert environment.read_lock(path) == {"huggingface-hub": "2.4.0", "jinja2": "3.1.6"}


@pytest.mark.parametrize("line", ["numpy>=2", "numpy", "torch @ file:///wheel.whl", "-e .",
                                  "numpy==2.0; python_version < '3.12'", "torch==2.13.0+cpu"])
def test_lock_refuses_lines_that_are_not_exact_host_free_pins(tmp_path, line):
    with pytest.raises(EnvironmentProblem, match="name==version"):
        environment.read_lock(write_lock(tmp_path, line + "\n"))


def test_missing_lock_says_how_to_restore_it(tmp_path):
    with pytest.raises(EnvironmentProblem, match="git checkout requirements.lock"):
        environment.read_lock(tmp_path / "requirements.lock")


def test_installed_reads_names_and_versions_of_a_folder(tmp_path):
    lay(tmp_path, "Great_Tables", "1.1.0")
    lay(tmp_path, "torch", "2.13.0+cpu")
    assert environment.installed([str(tmp_path)]) == {
        "great-tables": "1.1.0", "torch": "2.13.0+cpu",
    }


def test_first_folder_on_the_path_decides_the_version(tmp_path):
    lay(tmp_path / "first", "numpy", "2.0")
    lay(tmp_path / "second", "numpy", "1.0")
    search = [str(tmp_path / "first"), str(tmp_path / "second")]
    assert environment.installed(search) == {"numpy": "2.0"}


def test_half_removed_package_counts_as_missing(tmp_path):
    (tmp_path / "numpy-2.0.dist-info").mkdir()
    assert environment.installed([str(tmp_path)]) == {}


def test_differences_name_missing_and_other_versions_only():
    pins = {"a": "1.0", "b": "2.0", "c": "3.0"}
    assert environment.differences(pins, {"a": "1.0", "b": "2.1", "extra": "9"}) == [
        Difference("b", "2.0", "2.1"), Difference("c", "3.0", None),
    ]


def test_a_build_of_the_locked_version_is_no_difference():
    assert environment.differences({"torch": "2.13.0"}, {"torch": "2.13.0+cu130"}) == []


def test_a_prefix_of_the_locked_version_is_a_difference():
    assert environment.differences({"torch": "2.13.0"}, {"torch": "2.13"}) != []


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 4), (3, 14, 0), (4, 0, 0)])
def test_supported_python_passes(version):
    assert environment.check_python(version) is None


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 8, 0), (3, 10, 13)])
def test_old_python_is_named_with_what_to_do(version):
    with pytest.raises(EnvironmentProblem) as caught:
        environment.check_python(version)
    assert "Python 3.11 or newer" in caught.value.expected
    assert ".".join(map(str, version)) in caught.value.found
    assert "--conda" in caught.value.fix


def test_package_message_names_a_few_and_counts_the_rest():
    wrong = [Difference(f"p{i}", "1.0", None if i else "0.9") for i in range(8)]
    with pytest.raises(EnvironmentProblem) as caught:
        environment.check_packages(wrong)
    assert caught.value.found.startswith("p0 at 0.9 (lock: 1.0), p1 missing (lock: 1.0)")
    assert caught.value.found.endswith("and 3 more")
    assert "./run_all.sh" in caught.value.fix


def test_check_uses_the_lock_that_it_is_given(tmp_path):
    with pytest.raises(EnvironmentProblem, match="no-such-package missing"):
        environment.check(write_lock(tmp_path, "no-such-package==1.0\n"))


def test_cut_off_packages_are_forgotten_and_whole_ones_kept(tmp_path):
    whole, cut = lay(tmp_path, "whole", "1.0"), lay(tmp_path, "cut", "2.0", record=False)
    assert environment.forget_incomplete(tmp_path) == ["cut-2.0.dist-info"]
    assert whole.is_dir() and not cut.exists()


def test_check_needs_nothing_but_the_standard_library():
    # -S leaves site-packages out: what imports there is the standard library and lib itself.
    result = subprocess.run(
        [sys.executable, "-S", "-c", "import tools.environment; print('ok')"],
        cwd=paths.ROOT, env={"PYTHONPATH": ""}, capture_output=True, text=True,
    )
    assert result.stdout == "ok\n", result.stderr


def test_command_prints_the_problem_and_exits_with_one(monkeypatch, capsys):
    def problem():
        raise EnvironmentProblem("this", "that", "something")

    monkeypatch.setattr(environment, "check", problem)
    assert environment.main() == 1
    assert capsys.readouterr().out == "Expected this. Found that. What to do: something.\n"
