"""The command line: help at once, mistakes explained in one paragraph before anything runs."""

import json
import os
import re
import subprocess
import sys
import tomllib

import pytest
from toy_notebooks import write_notebook

from lib.errors import StorageError
from lib.study import paths
from tools.run import run as run_module

COMMANDS = ["run", "list", "compare", "claims", "tolerances", "ask", "bench", "instructions",
            "bases", "data", "readme", "publish", "handout"]
HEAVY = {"torch", "pandas", "papermill", "matplotlib", "transformers", "numpy", "nbformat"}
PROFILE = "name: {name}\nextends: smoke\ndescription: x\n"


@pytest.fixture
def toys(place):
    write_notebook(place.notebooks, "00_world", "raise SystemExit('must not run')")
    write_notebook(place.notebooks, "03_correction")
    return place


def paragraph(capsys):
    err = capsys.readouterr().err.strip()
    assert err.startswith("Expected ") and "\n" not in err and "Traceback" not in err
    return err


def process(*arguments, **variables):
    return subprocess.run(
        [sys.executable, "-m", "tools", *arguments], cwd=paths.ROOT, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(paths.ROOT)} | variables,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--profile", "sandbx"], "did you mean sandbox"),
        (["--profile", "gpt2"], "guards --profile gpt2 with --teach 0 and --teach 1"),
        (["--only", "09"], "00_world, 03_correction"),
        (["--only", "00,09"], "'09'"),
        (["--only", ""], "00_world, 03_correction"),
        (["--only", "00,"], "''"),
        (["--from", ""], "''"),
        (["--from", "03_corection"], "did you mean 03_correction"),
        (["--only", "00", "--from", "03"], "either --only or --from"),
        (["-p", "finetune.rnk=3"], "did you mean finetune.rank"),
        (["-p", "finetune.rank=0"], "greater than or equal to 1"),
        (["-p", "finetune.rank=lots"], "valid integer"),
        (["-p", "seed=x"], "seed"),
        (["-p", "seed=010"], "'010'"),
        (["-p", "seed=2026-13-45"], "valid integer"),
        (["-p", "seed=1", "-p", "seed=2"], "-p seed=1 and -p seed=2"),
        (["-p", "finetune.rank"], "NAME=VALUE"),
        (["-p", "finetune.targets=[nosuch]"], "q_proj"),
        (["-p", "safety.learning_rates={}"], "safety.learning_rates"),
    ],
)
def test_mistake_is_one_paragraph_and_exit_code_2(toys, capsys, arguments, words):
    assert toys(*arguments) == 2
    assert words in paragraph(capsys)
    assert not toys.runs.exists()


@pytest.mark.parametrize("arguments", [["--unknown"], ["--profle", "smoke"], ["--onl", "00"]])
def test_unknown_options_are_named(toys, capsys, arguments):
    assert toys(*arguments) == 2
    assert arguments[0] in capsys.readouterr().err


def test_help_of_every_command_is_at_hand(capsys, side_effects):
    assert side_effects("--help") == 0
    listed = capsys.readouterr().out
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", listed, re.MULTILINE), name
        assert side_effects(name, "--help") == 0
        assert f"side-effects {name}" in capsys.readouterr().out


def test_help_of_run_has_examples(capsys, side_effects):
    side_effects("run", "--help")
    text = capsys.readouterr().out
    for option in ("--profile", "--only 03", "--from 02", "--fresh", "--list", "--verify",
                   "finetune.rank=8"):
        assert option in text


def test_help_names_what_the_code_knows(capsys, side_effects):
    from lib.forecasting.instructions.rows import LABELS
    from lib.measures.benchmarks.report import BENCHMARKS
    from lib.measures.chat.requests import FOLDER, XSTEST
    from tools.ask import TOKENS

    side_effects("instructions", "--help")
    text = " ".join(capsys.readouterr().out.split())
    assert ", ".join(LABELS) in text
    side_effects("ask", "--help")
    text = " ".join(capsys.readouterr().out.split())
    assert all(word in text for word in (FOLDER, f"default: {XSTEST}", f"default: {TOKENS}"))
    side_effects("bench", "--help")
    text = " ".join(capsys.readouterr().out.split())
    gated = [name for name, benchmark in BENCHMARKS.items() if benchmark.gated]
    assert f"default: all but {' and '.join(gated)}, a gated set" in text and FOLDER in text


@pytest.mark.parametrize("arguments", [["--help"], ["list"], *([c, "--help"] for c in COMMANDS)])
def test_nothing_heavy_is_loaded_before_arguments_are_read(arguments):
    code = ("import sys; from tools.cli import app\n"
            f"try: app({arguments!r}, prog_name='x')\n"
            f"except SystemExit: print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT, capture_output=True,
                          text=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_help_answers_in_under_a_second_of_work():
    before = os.times()
    assert process("--help").returncode == 0
    after = os.times()
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system < 1


def test_the_console_script_is_this_command():
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"]["side-effects"].partition(":")
    assert callable(getattr(__import__(module, fromlist=[name]), name))


@pytest.mark.parametrize("way", [["list", "--profile", "smoke"],
                                 ["run", "--profile", "smoke", "--list"]])
def test_list(toys, capsys, side_effects, way):
    assert side_effects(*way) == 0
    text = capsys.readouterr().out
    for name in ("smoke", "sandbox", "reference", "gpt2", "00_world", "03_correction", "not yet"):
        assert name in text


@pytest.mark.parametrize("text", ["{", "[]", "{}", "\xff"])
def test_a_damaged_notebook_is_listed_and_explained_when_it_is_to_run(
    toys, capsys, side_effects, text
):
    (toys.notebooks / "05_x.ipynb").write_bytes(text.encode("latin-1"))
    assert side_effects("list") == 0 and "05_x" in capsys.readouterr().out
    assert toys("--only", "05") == 2
    assert "05_x.ipynb" in paragraph(capsys)


def test_list_goes_to_a_terminal_of_ascii_and_into_head():
    done = process("list", PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "00_world" in done.stdout and done.stderr == ""
    piped = subprocess.run(f"{sys.executable} -m tools list | head -n 1", shell=True, text=True,
                           cwd=paths.ROOT, capture_output=True)
    assert piped.stdout == "Profiles:\n" and piped.stderr == ""


def test_a_profile_that_is_not_utf8_is_explained_and_does_not_kill_the_list(
    toys, tmp_path, monkeypatch, capsys, side_effects
):
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    for path in paths.PROFILES.glob("*.yaml"):
        (profiles / path.name).write_bytes(path.read_bytes())
    (profiles / "latin.yaml").write_bytes("name: latin\ndescription: Zürich\n".encode("latin-1"))
    monkeypatch.setattr(paths, "PROFILES", profiles)
    assert toys("--profile", "latin") == 2
    assert "UTF-8 in latin.yaml" in paragraph(capsys)
    assert side_effects("list") == 0
    listed = capsys.readouterr().out
    assert "UTF-8 in latin.yaml" in listed and "03_correction" in listed


def test_a_profile_by_its_path_is_the_users(toys, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.yaml").write_text(PROFILE.format(name="mine"))
    monkeypatch.chdir(tmp_path)
    request = run_module.request("mine.yaml", [], ["03"], None, False)
    assert request.source == str(tmp_path / "mine.yaml")
    assert [notebook.name for notebook in request.notebooks] == ["03_correction"]


def test_notebook_without_parameters_stops_the_run_before_the_first(toys, capsys):
    write_notebook(toys.notebooks, "04_x", parameters="# none")
    assert toys() == 2
    assert "04_x.ipynb" in paragraph(capsys)
    assert not toys.folder.exists()


def test_second_run_of_the_same_profile_is_refused(toys, capsys):
    toys.runs.mkdir()
    lock = run_module._locked(toys.folder)
    try:
        assert toys() == 2
    finally:
        lock.release()
    assert "one run of the profile smoke at a time" in paragraph(capsys)


@pytest.mark.parametrize("inner", ["", "deeper"])
def test_results_cannot_go_where_a_file_is(toys, tmp_path, monkeypatch, capsys, inner):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "file" / inner))
    assert toys() == 2
    assert "STUDY_RUNS" in paragraph(capsys)


def test_results_cannot_go_where_no_folder_can_be_made(toys, monkeypatch, capsys):
    monkeypatch.setenv("STUDY_RUNS", "/proc/nowhere")
    assert toys() == 2
    assert "STUDY_RUNS" in paragraph(capsys)


def test_an_empty_place_for_results_counts_as_none(monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", "")
    assert paths.runs_dir() == paths.ROOT / "runs"


def test_disk_that_refuses(toys, capsys, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    assert toys() == 2
    assert "read-only file system" in paragraph(capsys)


@pytest.mark.parametrize(("error", "code", "words"), [
    (StorageError("space", "none", "free some"), 2, "Expected space"),
    (KeyboardInterrupt(), 130, "same command again"),
])
def test_what_ends_a_run_is_said_and_counted(toys, capsys, monkeypatch, error, code, words):
    def ended(*_):
        raise error

    monkeypatch.setattr(run_module, "run", ended)
    assert toys() == code
    assert words in capsys.readouterr().err


def test_verify_is_told_to_all_processes(toys, monkeypatch):
    monkeypatch.setenv("STUDY_VERIFY", "0")  # restored after the test
    seen = []
    monkeypatch.setattr(run_module, "run", lambda _: seen.append(os.environ["STUDY_VERIFY"]))
    assert toys("--verify") == 0
    assert seen == ["1"]


@pytest.mark.parametrize(("arguments", "words"), [
    (["compare", "--tolerances", "absent.yml"], "absent.yml"),
    (["readme", "--check", "--manifest", "x"], "either --check or --manifest"),
    (["readme", "--manifest", "absent.json"], "manifest of a run"),
    (["publish", "absent.ipynb"], "a notebook at absent.ipynb"),
    (["instructions", "--out", "x", "--seed", "1", "-p", "seed=2"], "-p seed=2 and -p seed=1"),
    (["instructions", "--out", "x", "--label", "best"], "a label type"),
    (["list", "--profile", "sandbx"], "did you mean sandbox"),
    (["ask", "absent"], "absent"),
])
def test_mistakes_of_the_other_commands(capsys, side_effects, arguments, words):
    assert side_effects(*arguments) == 2
    assert words in paragraph(capsys)


SMALL = ["--profile", "smoke", "-p", "forecasting.series=5", "-p", "forecasting.rounds=2"]


def test_instructions_are_written_into_an_empty_folder_which_is_printed(
    tmp_path, capsys, side_effects
):
    out = tmp_path / "empty"
    out.mkdir()
    assert side_effects("instructions", *SMALL, "--out", str(out), "--seed", "4") == 0
    seen = capsys.readouterr()
    assert seen.out.strip() == str(out) and "instruction sets  step" in seen.err
    first = json.loads((out / "jsonl" / "train.jsonl").read_text().splitlines()[0])
    assert re.search(r"-s4-000[0-4]$", first["series"])


@pytest.mark.parametrize(("arguments", "said"), [
    (["--profile", "sandbux"], "did you mean sandbox"),
    (["--label", "bayesian"], "did you mean bayes"),
    (["--profile", "smoke", "-p", "forecasting.history=3"], "at least 4 values"),
    (["--profile", "smoke", "--seed", "-1"], "seed"),
])
def test_wrong_instructions_are_explained_and_nothing_is_written(
    tmp_path, capsys, side_effects, arguments, said
):
    assert side_effects("instructions", *arguments, "--out", str(tmp_path / "sets")) == 2
    assert said in paragraph(capsys)
    assert list(tmp_path.iterdir()) == []


def test_data_prints_the_tables_of_its_readme(capsys, side_effects):
    assert side_effects("data") == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first in (paths.DATA / "README.md").read_text()


def test_missing_package_is_explained():
    """The door opens although nothing is installed: -S hides the environment's packages."""
    done = subprocess.run([sys.executable, "-S", "-m", "tools", "list"], cwd=paths.ROOT,
                          capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""})
    assert done.returncode == 2
    assert "missing" in done.stderr and "./run_all.sh" in done.stderr
    assert "Traceback" not in done.stderr


def test_old_python_is_explained():
    code = ("import sys; from tools import environment as e, __main__ as door; "
            "old = e.check_python; e.check_python = lambda: old((3, 9, 1)); sys.exit(door.main())")
    done = subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT, capture_output=True,
                          text=True)
    assert done.returncode == 2 and "Python 3.9.1" in done.stderr
