"""Command line: mistakes are explained before anything runs."""

import os
import subprocess
import sys

import pytest
from toy_notebooks import write_notebook

from lib.errors import StorageError
from lib.study import paths
from tools.run import run as run_module
from tools.run.cli import listing, main


@pytest.fixture(autouse=True)
def nothing_runs(place):
    write_notebook(place.notebooks, "00_world", "raise SystemExit('must not run')")
    write_notebook(place.notebooks, "03_correction")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--profile", "sandbx"], "did you mean sandbox"),
        (["--profile", "gpt2"], "smoke, sandbox or thorough"),
        (["--only", "09"], "00_world, 03_correction"),
        (["--only", "00,09"], "'09'"),
        (["--from", "03_corection"], "did you mean 03_correction"),
        (["-p", "finetune.rnk=3"], "did you mean finetune.rank"),
        (["-p", "finetune.rank=0"], "greater than or equal to 1"),
        (["-p", "finetune.rank=lots"], "valid integer"),
        (["-p", "seed=x"], "seed"),
        (["-p", "finetune.rank"], "NAME=VALUE"),
    ],
)
def test_mistake_is_one_paragraph_and_exit_code_2(place, capsys, arguments, words):
    assert place(*arguments) == 2
    err = capsys.readouterr().err.strip()
    assert words in err and "\n" not in err and err.startswith("Expected ")
    assert not place.runs.exists()


@pytest.mark.parametrize("arguments", [["--unknown"], ["--only", "00", "--from", "03"], ["--onl"]])
def test_unknown_options(place, arguments):
    with pytest.raises(SystemExit) as caught:
        place(*arguments)
    assert caught.value.code == 2


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option in ("--profile", "--only 03", "--from 02", "--fresh", "--list", "finetune.rank=8"):
        assert option in text


def test_list(place, capsys):
    assert place("--list") == 0
    text = capsys.readouterr().out
    for name in ("smoke", "sandbox", "thorough", "gpt2", "00_world", "03_correction", "not yet"):
        assert name in text


def test_list_shows_last_durations(place):
    place.folder.mkdir(parents=True)
    (place.folder / "manifest.json").write_text(
        '{"notebooks": {"00_world": {"status": "done", "seconds": 75.2}}}')
    line = [x for x in listing("smoke", place.notebooks).splitlines() if "00_world" in x]
    assert "1:15" in line[0]


def test_notebook_without_parameters_stops_the_run_before_the_first(place, capsys):
    write_notebook(place.notebooks, "04_x", parameters="# none")
    assert place() == 2
    assert "04_x.ipynb" in capsys.readouterr().err
    assert not place.folder.exists()


def test_second_run_of_the_same_profile_is_refused(place, capsys):
    place.runs.mkdir()
    lock = run_module._locked(place.folder)
    try:
        assert place() == 2
    finally:
        lock.release()
    assert "one run of the profile smoke at a time" in capsys.readouterr().err


def test_disk_that_refuses(place, capsys, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    assert place() == 2
    assert "read-only file system" in capsys.readouterr().err


def test_storage_error_while_running_is_exit_code_2(place, capsys, monkeypatch):
    def full(*_):
        raise StorageError("space", "none", "free some")

    monkeypatch.setattr("tools.run.run.run", full)
    assert place() == 2


def test_ctrl_c_says_how_to_continue(place, capsys, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("tools.run.run.run", stopped)
    assert place() == 130
    assert "same command again" in capsys.readouterr().err


def test_heavy_packages_are_not_loaded_without_need():
    code = ("import sys; from tools.run.cli import main; main(['--list']); "
            "heavy = {'torch', 'pandas', 'papermill', 'matplotlib', 'transformers'}; "
            "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)")
    done = subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr


def test_missing_package_is_explained(tmp_path):
    """The door opens although nothing is installed: -S hides the environment's packages."""
    done = subprocess.run([sys.executable, "-S", "-m", "tools.run", "--list"], cwd=paths.ROOT,
                          capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""})
    assert done.returncode == 2
    assert "missing" in done.stderr and "./run_all.sh" in done.stderr
    assert "Traceback" not in done.stderr


def test_old_python_is_explained():
    code = ("import runpy, sys; from lib import environment as e; old = e.check_python; "
            "e.check_python = lambda: old((3, 9, 1)); "
            "runpy.run_module('tools.run', run_name='__main__')")
    done = subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT, capture_output=True,
                          text=True)
    assert done.returncode == 2 and "Python 3.9.1" in done.stderr
