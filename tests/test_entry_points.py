"""run_all.sh and tests/run.sh in a small copy of the tree, with an interpreter that only records.

The recording interpreter stands in for Python, venv and pip, so that every route of the set-up is
followed in milliseconds and without a network; each call is one line of its log.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from lib.study.paths import ROOT

COPIED = ["run_all.sh", "tests/run.sh", "scripts/setup.sh", "requirements.lock", "pyproject.toml",
          "environment.yml", "lib/__init__.py", "lib/errors.py", "lib/study/__init__.py",
          "lib/study/paths.py", "tools/__init__.py", "tools/environment.py"]

RECORDER = f"""#!/bin/bash
case "$*" in
  "-c "*) ;;
  *) echo "$*" >> "$RECORD" ;;
esac
case "$*" in
  "-c import sys; sys.exit"*) exit "${{TOO_OLD:-0}}" ;;
  "-c "* | -V) echo "Python ${{VERSION:-3.11.7}}" ;;
  "-m venv --clear "*)
    if [ -n "$VENV_SAYS" ]; then echo "$VENV_SAYS"; exit 1; fi
    mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; touch "$4/pyvenv.cfg" ;;
  "-m pip install"*)
    if [ -n "$PIP_SAYS" ]; then echo "$PIP_SAYS"; exit 1; fi
    sleep "${{PIP_SLEEPS:-0}}" ;;
  "-m tools.environment") exec "{sys.executable}" -S -m tools.environment ;;
  "-m tools run"* | "-m pytest"*)
    printf '<%s>' "$@"; env | grep -E '^(DEBIAS|HF_|OMP_|PYTHONDONT)' | sort ;;
esac
exit 0
"""


class Tree:
    """A small copy of the repository with a recording interpreter as its only Python."""

    def __init__(self, folder):
        self.root = folder / "work book"  # a space, because users' folders have them
        for name in COPIED:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        self.bin, self.record = folder / "bin", folder / "record"
        self.bin.mkdir()
        self.program("python3.11", RECORDER)
        self.env = {"PATH": f"{self.bin}:/usr/bin:/bin", "RECORD": str(self.record),
                    "HOME": str(folder), "TMPDIR": str(folder), "STUDY_PYTHON": "python3.11"}

    def program(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(self, *arguments, script="run_all.sh", **variables):
        return subprocess.run(
            [str(self.root / script), *arguments], env={**self.env, **variables},
            cwd=self.bin, capture_output=True, text=True, timeout=60,
        )

    def calls(self):
        """Recorded calls since the last question, each from its first word that matters."""
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        self.record.unlink(missing_ok=True)
        return lines

    @property
    def stamp(self):
        return self.root / ".venv" / "study-stamp"


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def installs(calls):
    return [call for call in calls if call.startswith("-m pip install")]


def test_help_sets_nothing_up(tree):
    result = tree.run("--help", STUDY_PYTHON="no-python-at-all")
    assert result.returncode == 0 and result.stdout.startswith("Usage: ./run_all.sh")
    assert tree.calls() == [] and not tree.stamp.parent.exists()


def test_help_names_every_option_of_the_runner(tree):
    from typer.main import get_command

    from tools.cli import app

    text = tree.run("--help").stdout
    for parameter in get_command(app).commands["run"].params:
        assert all(option in text for option in parameter.opts), parameter.opts


def test_first_run_makes_an_environment_and_installs_the_lock_and_the_package(tree):
    result = tree.run("--list")
    assert result.returncode == 0, result.stderr
    calls = tree.calls()
    assert f"-m venv --clear {tree.root}/.venv" in calls
    lock, package = installs(calls)
    assert lock.endswith(f"-r {tree.root}/requirements.lock")
    assert "--no-deps" in package and package.endswith(f"-e {tree.root}")
    assert tree.stamp.is_file()


def test_arguments_reach_the_runner_unchanged(tree):
    result = tree.run("--profile", "my profile.yaml", "-p", "a=b c", "--only", "03")
    assert result.stdout == "<-m><tools><run><--profile><my profile.yaml><-p><a=b c><--only><03>"


def test_second_run_does_no_set_up_work(tree):
    tree.run()
    tree.calls()
    result = tree.run("--only", "01")
    assert tree.calls() == ["-m tools run --only 01"]
    assert result.stderr == ""


def test_changed_lock_is_installed_into_the_same_environment(tree):
    tree.run()
    tree.calls()
    with (tree.root / "requirements.lock").open("a") as file:
        file.write("zzz==1.0\n")
    tree.run()
    calls = tree.calls()
    assert len(installs(calls)) == 2 and not any("-m venv" in call for call in calls)


def test_moved_repository_is_installed_again(tree):
    tree.run()
    tree.calls()
    tree.root = tree.root.rename(tree.root.parent / "elsewhere")
    tree.run()
    assert any(call.endswith(f"-e {tree.root}") for call in tree.calls())


def test_another_interpreter_version_invalidates_the_stamp(tree):
    tree.run()
    tree.calls()
    tree.run(VERSION="3.12.1")
    assert len(installs(tree.calls())) == 2


@pytest.mark.parametrize("said", [
    "/usr/bin/python3.11: No module named venv",
    "The virtual environment was not created successfully because ensurepip is not available.",
])
def test_python_without_venv_is_explained(tree, said):
    result = tree.run(VENV_SAYS=said)
    assert result.returncode == 1 and "python3.11-venv" in result.stderr
    assert "STUDY_PYTHON" in result.stderr and "--conda" in result.stderr


def test_environment_of_another_checkout_is_refused_and_stays_as_it_is(tree, tmp_path):
    (tmp_path / "second").mkdir()
    other, shared = Tree(tmp_path / "second"), str(tmp_path / "shared environment")
    tree.run(STUDY_VENV=shared)
    stamp = (tmp_path / "shared environment" / "study-stamp").read_text()
    result = other.run(STUDY_VENV=shared)
    assert result.returncode == 1
    assert f"the environment of the checkout {tree.root}" in result.stderr
    assert installs(other.calls()) == []
    assert (tmp_path / "shared environment" / "study-stamp").read_text() == stamp
    assert tree.run("--list", STUDY_VENV=shared).returncode == 0


def test_environment_of_a_checkout_that_is_gone_is_taken_over(tree, tmp_path):
    (tmp_path / "second").mkdir()
    other, shared = Tree(tmp_path / "second"), str(tmp_path / "shared environment")
    tree.run(STUDY_VENV=shared)
    shutil.rmtree(tree.root)
    assert other.run(STUDY_VENV=shared).returncode == 0


def test_checkout_copied_with_its_environment_is_installed_again(tree, tmp_path):
    tree.run()
    tree.calls()
    tree.root = shutil.copytree(tree.root, tmp_path / "copy")
    assert tree.run().returncode == 0
    assert any(call.endswith(f"-e {tree.root}") for call in tree.calls())


@pytest.mark.skipif(shutil.which("flock") is None, reason="no flock here, so there is no lock")
def test_second_set_up_says_that_it_waits_and_then_finds_the_work_done(tree):
    first = subprocess.Popen([str(tree.root / "run_all.sh")], stderr=subprocess.PIPE, text=True,
                             env={**tree.env, "PIP_SLEEPS": "2"})
    while not (tree.record.exists() and "pip install" in tree.record.read_text()):
        time.sleep(0.05)
    second = tree.run("--list")
    assert first.communicate(timeout=30)[1] and first.returncode == 0
    assert "Another set-up of this checkout is running" in second.stderr
    assert second.returncode == 0 and len(installs(tree.calls())) == 2


@pytest.mark.parametrize(("said", "advice"), [
    ("ERROR: [Errno 28] No space left on device", "free some disk space"),
    ("Temporary failure in name resolution", "check the network"),
    ("ERROR: Package requires a different Python: 3.15", "use Python 3.11"),
    ("OSError: [Errno 13] Permission denied: 'x'", "make the folder writable"),
    ("something nobody foresaw", "read the lines above"),
])
def test_failed_installation_shows_the_log_and_what_to_do(tree, said, advice):
    result = tree.run(PIP_SAYS=said)
    assert result.returncode == 1 and result.stdout == ""
    assert said in result.stderr and advice in result.stderr
    assert not tree.stamp.exists()


def test_failed_installation_continues_in_the_same_environment(tree):
    tree.run(PIP_SAYS="Connection broken")
    tree.calls()
    result = tree.run("--list")
    calls = tree.calls()
    assert result.returncode == 0 and not any("-m venv" in call for call in calls)
    assert "-m tools.environment --resume" in calls and tree.stamp.is_file()


def test_interrupted_installation_leaves_no_stamp_and_says_how_to_go_on(tree):
    process = subprocess.Popen([str(tree.root / "run_all.sh")], text=True, stderr=subprocess.PIPE,
                               env={**tree.env, "PIP_SLEEPS": "30"}, start_new_session=True)
    while not (tree.record.exists() and "pip install" in tree.record.read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    error = process.communicate(timeout=20)[1]
    assert process.returncode == 130 and "run again to continue" in error
    assert not tree.stamp.exists()


def test_old_python_is_named_with_what_to_do(tree):
    result = tree.run(TOO_OLD="1", VERSION="3.8.1")
    assert result.returncode == 1 and not (tree.root / ".venv").exists()
    assert "Expected Python 3.11 or newer" in result.stderr and "3.8.1" in result.stderr


def test_place_that_cannot_be_written_is_named(tree):
    (tree.root / ".venv").write_text("a file where the environment should go")
    result = tree.run()
    assert result.returncode == 1 and "STUDY_VENV=/another/folder" in result.stderr


def test_folder_that_is_no_environment_is_never_cleared(tree, tmp_path):
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter.tex").write_text("years of work")
    result = tree.run(STUDY_VENV=str(precious))
    assert result.returncode == 1 and "an environment or an empty folder" in result.stderr
    assert (precious / "chapter.tex").read_text() == "years of work"


def test_environment_can_lie_elsewhere(tree, tmp_path):
    tree.run(STUDY_VENV=str(tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere" / "study-stamp").is_file()
    assert not (tree.root / ".venv").exists()


def active(tree, tmp_path, name):
    """An active environment of which the recording interpreter is the Python."""
    folder = tmp_path / name
    (folder / "bin").mkdir(parents=True)
    shutil.copy(tree.bin / "python3.11", folder / "bin" / "python")
    return folder


def test_active_environment_that_satisfies_the_lock_is_used(tree, tmp_path):
    (tree.root / "requirements.lock").write_text("# nothing is needed\n")
    folder = active(tree, tmp_path, "mine")
    result = tree.run("--list", VIRTUAL_ENV=str(folder))
    assert result.returncode == 0, result.stderr
    assert tree.calls() == ["-m tools.environment", "-m tools run --list"]
    assert not (tree.root / ".venv").exists()


def test_active_environment_that_lacks_packages_is_left_alone(tree, tmp_path):
    folder = active(tree, tmp_path, "mine")
    before = sorted(folder.rglob("*"))
    result = tree.run(VIRTUAL_ENV=str(folder))
    assert "so .venv is used" in result.stderr and "missing (lock:" in result.stderr
    assert sorted(folder.rglob("*")) == before and tree.stamp.is_file()


def test_torch_index_is_used_for_torch_alone(tree):
    tree.run(TORCH_INDEX_URL="file:///gpu")
    torch, lock, package = installs(tree.calls())
    assert "--index-url file:///gpu" in torch and "--no-deps torch==" in torch
    assert "file:///gpu" not in lock + package


def test_conda_route_without_conda_says_what_is_missing(tree):
    result = tree.run("--conda", PATH=f"{tree.bin}:/usr/bin:/bin")
    assert result.returncode == 1
    assert "Expected conda, mamba or micromamba" in result.stderr


@pytest.mark.parametrize(("tool", "verb"), [("conda", "env create"), ("mamba", "env create"),
                                            ("micromamba", "create --yes")])
def test_conda_route_creates_from_environment_yml_once(tree, tool, verb):
    tree.program(tool, f"""#!/bin/bash
echo "{tool} $*" >> "$RECORD"
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/bin" "$2/conda-meta"; cp "{tree.bin}/python3.11" "$2/bin/python"
""")
    tree.run("--conda")
    prefix = tree.root / ".conda"
    created = f"{tool} {verb} --prefix {prefix} --file {tree.root}/environment.yml"
    assert created in tree.calls()
    result = tree.run("--conda", "--list")
    assert tree.calls() == ["-m tools run --list"] and result.returncode == 0
    assert (prefix / ".gitignore").read_text() == "*\n"


def test_test_command_uses_two_workers_unless_told(tree):
    two = tree.run("tests/test_lock.py", script="tests/run.sh").stdout
    assert two.startswith("<-m><pytest><-n><2><tests/test_lock.py>")
    assert tree.run("-n0", script="tests/run.sh").stdout.startswith("<-m><pytest><-n0>")
    given = tree.run("-n", "4", script="tests/run.sh").stdout
    assert given.startswith("<-m><pytest><-n><4>")


def test_test_command_stays_offline_and_on_one_thread(tree):
    out = tree.run(script="tests/run.sh").stdout
    assert "HF_HUB_OFFLINE=1" in out and "OMP_NUM_THREADS=1" in out and "DEBIAS" not in out


@pytest.mark.parametrize("script", ["run_all.sh", "tests/run.sh"])
def test_compiled_modules_are_kept_whatever_the_caller_says(tree, script):
    out = tree.run(script=script, PYTHONDONTWRITEBYTECODE="1").stdout
    assert out.startswith("<-m>") and "PYTHONDONT" not in out


def test_test_command_finds_mirrors_beside_the_checkout(tree):
    (tree.root.parent / "shared" / "data").mkdir(parents=True)
    out = tree.run(script="tests/run.sh", DEBIAS_MODEL_MIRROR="/chosen").stdout
    assert f"DEBIAS_DATA_MIRROR={tree.root.parent}/shared/data" in out
    assert "DEBIAS_MODEL_MIRROR=/chosen" in out


@pytest.mark.parametrize(
    "script", ["run_all.sh", "tests/run.sh", "tests/harness.sh", "scripts/lock.sh", ".ci/run"]
)
def test_scripts_can_be_started_and_parsed(script):
    assert os.access(ROOT / script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(ROOT / script)]).returncode == 0
