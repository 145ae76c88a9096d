"""The whole runner on toy notebooks: results, skipping, failures, kills."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version

import psutil
import pytest
from toy_notebooks import EXHIBIT, write_notebook

from lib.study import machine, paths
from lib.study.fingerprint import file_sha256


def files(folder):
    """Bytes of every result file: all but the manifest, the log and times of building."""
    skip = {"manifest.json", "run.log", "artefact.json"}
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in skip and ".locks" not in path.parts}


def test_run_skip_and_rerun_exactly_what_changed(place, capsys):
    write_notebook(place.notebooks, "00_a", EXHIBIT.format(number="00"))
    write_notebook(place.notebooks, "01_b", "import os",
                   "import lib.study.paths\nprint(os.getcwd() == str(lib.study.paths.ROOT))")
    assert place("-p", "seed=4", "-p", "finetune.rank=3") == 0
    manifest, entry = place.manifest(), place.manifest()["notebooks"]["00_a"]
    assert {n: e["status"] for n, e in manifest["notebooks"].items()} == {
        "00_a": "done", "01_b": "done"}
    table = "figures/tables/00_toy.csv"
    assert entry["exhibits"] == {table: file_sha256(place.folder / table)}
    assert (entry["seed"], list(entry["artefacts"])[0][:11]) == (4, "models/toy-")
    executed = (place.folder / "00_a.ipynb").read_text()
    assert "rank 3 seed 4" in executed and "duration" not in executed
    assert "True" in (place.folder / "01_b.ipynb").read_text()  # working directory
    assert not (place.folder / ".work").exists()

    # Unchanged: nothing runs, nothing is written.
    before = files(place.folder), (place.folder / "manifest.json").stat().st_mtime_ns
    capsys.readouterr()
    assert place("-p", "seed=4", "-p", "finetune.rank=3") == 0
    assert "0 run, 2 unchanged" in capsys.readouterr().out
    assert (files(place.folder), (place.folder / "manifest.json").stat().st_mtime_ns) == before

    # A damaged artefact reruns the notebook that used it, and only that; it is rebuilt.
    artefact = place.folder / list(entry["artefacts"])[0] / "weights.txt"
    artefact.write_text("x" * 1000)
    assert place("-p", "seed=4", "-p", "finetune.rank=3") == 0
    out = capsys.readouterr().out
    assert "1 run, 1 unchanged" in out and "00_a: runs, because models/toy-" in out
    assert "Rebuilding it now" in out
    # Rebuilt and rerun: byte-identical results.
    assert files(place.folder) == before[0]

    # A changed source reruns its notebook.
    write_notebook(place.notebooks, "01_b", "print('new')")
    assert place("-p", "seed=4", "-p", "finetune.rank=3") == 0
    assert "01_b: runs, because its source changed" in capsys.readouterr().out


def test_a_tampered_manifest_deletes_nothing_outside_the_exhibits(place, capsys):
    write_notebook(place.notebooks, "00_a", EXHIBIT.format(number="00"))
    write_notebook(place.notebooks, "01_b")
    assert place() == 0
    victim = place.runs.parent / "victim.txt"
    victim.write_text("precious")
    manifest = place.manifest()
    good = manifest["notebooks"]["00_a"]
    path = place.folder / "manifest.json"
    for tampered in ({"../../victim.txt": "0", str(victim): "0"}, {"figures/tables": "0"}):
        manifest["notebooks"] = {"00_a": good | {"exhibits": good["exhibits"] | tampered},
                                 "01_b": "x"}
        path.write_text(json.dumps(manifest))
        assert place() == 0
        assert victim.read_text() == "precious"
        assert (place.folder / "figures" / "tables" / "00_toy.csv").is_file()
    out, err = capsys.readouterr()
    assert "manifest.json is damaged" in out and "Traceback" not in out + err
    assert place.manifest()["notebooks"]["00_a"]["exhibits"] == good["exhibits"]


def test_changed_packages_run_everything_again_and_are_named(place, capsys):
    write_notebook(place.notebooks, "00_a", "x = 1")
    assert place() == 0
    manifest = place.manifest()
    manifest["notebooks"]["00_a"]["fingerprint"]["packages"]["numpy"] = "0.9"
    (place.folder / "manifest.json").write_text(json.dumps(manifest))
    capsys.readouterr()
    assert place() == 0
    assert f"00_a: runs, because packages changed: numpy 0.9 -> {version('numpy')}" in (
        capsys.readouterr().out)


def test_failure_names_cell_error_and_partial_copy(place, capsys):
    write_notebook(place.notebooks, "00_a", "x = 1", "# why\nprint(1 / 0)")
    write_notebook(place.notebooks, "01_b")
    assert place() == 1
    err = capsys.readouterr().err
    assert "00_a" in err and "cell 4 of 4 (# why) ZeroDivisionError: division by zero" in err
    partial = place.folder / "failed" / "00_a.ipynb"
    assert str(partial) in err and "Traceback" not in err
    assert json.loads(partial.read_text())["cells"]
    assert not (place.folder / "00_a.ipynb").exists()
    assert place.manifest()["notebooks"]["00_a"]["status"] == "failed"
    assert "01_b" not in place.manifest()["notebooks"]
    assert "ZeroDivisionError" in (place.folder / "run.log").read_text()

    # Mended, it runs, and the failed copy goes.
    write_notebook(place.notebooks, "00_a", "x = 1")
    assert place("--only", "0") == 0
    assert not (place.folder / "failed").exists()
    assert place.manifest()["notebooks"]["00_a"]["status"] == "done"


def test_failure_keeps_the_last_good_copy(place):
    write_notebook(place.notebooks, "00_a", "x = 1")
    assert place() == 0
    good = (place.folder / "00_a.ipynb").read_bytes()
    write_notebook(place.notebooks, "00_a", "1 / 0")
    assert place() == 1
    assert (place.folder / "00_a.ipynb").read_bytes() == good


def test_dead_kernel_is_explained(place, capsys):
    write_notebook(place.notebooks, "00_a", "import os\nos.kill(os.getpid(), 9)")
    assert place() == 1
    err = capsys.readouterr().err
    assert "kernel that died in cell 3 of 3 (import os), probably out of memory" in err
    assert "batch_size" in err

    # The next run goes on with this notebook, and with no other.
    write_notebook(place.notebooks, "01_b", "import time")
    write_notebook(place.notebooks, "00_a", "x = 1")
    assert place() == 0
    assert "00_a: runs, because its last run failed" in capsys.readouterr().out


LAST_WORDS = """
import os
os.write(2, b"an interrupted kernel's last words")
"""


@pytest.mark.parametrize(("way", "outcome"), [("", 0), ("os.kill(os.getpid(), 9)", 1)])
def test_last_words_of_a_kernel_are_for_the_log(place, capfd, way, outcome):
    """Such as those of one that is interrupted on its way out: no reader can do anything then."""
    write_notebook(place.notebooks, "00_a", LAST_WORDS + way)
    assert place() == outcome
    assert "last words" not in "".join(capfd.readouterr())
    assert ("last words" in (place.folder / "run.log").read_text()) == bool(outcome)


def test_study_error_in_a_cell_is_its_paragraph(place, capsys):
    write_notebook(place.notebooks, "00_a", "from lib.study.notebook import Study",
                   "Study(profile, seed, {'finetune.rnk': 1}, notebook='00')")
    assert place() == 1
    assert "did you mean finetune.rank" in capsys.readouterr().err


def test_exhibit_that_is_made_no_more_is_removed(place):
    write_notebook(place.notebooks, "00_a", EXHIBIT.format(number="00"))
    assert place() == 0
    old = place.folder / "figures" / "tables" / "00_toy.csv"
    assert old.is_file()
    write_notebook(place.notebooks, "00_a", EXHIBIT.format(number="00").replace("_toy", "_new"))
    assert place() == 0
    assert not old.exists() and old.with_name("00_new.csv").is_file()


def test_fresh_says_so_and_starts_over(place, capsys):
    write_notebook(place.notebooks, "00_a", "x = 1")
    assert place() == 0
    (place.folder / "stray.txt").write_text("old")
    assert place("--fresh") == 0
    out = capsys.readouterr().out
    assert f"--fresh: deleting {place.folder}" in out and "1 run, 0 unchanged" in out.split("--")[1]
    assert not (place.folder / "stray.txt").exists()


def test_fresh_empties_a_folder_that_is_a_link_and_keeps_the_link(place, tmp_path, capsys):
    write_notebook(place.notebooks, "00_a", "x = 1")
    disk = tmp_path / "disk"
    (disk / "models").mkdir(parents=True)
    (disk / "stray.txt").write_text("old")
    place.runs.mkdir()
    place.folder.symlink_to(disk)
    assert place("--fresh") == 0
    assert place.folder.is_symlink() and (disk / "00_a.ipynb").is_file()
    assert not (disk / "stray.txt").exists() and not (disk / "models").exists()


def test_list_says_what_would_run_again(place, capsys):
    for name in ("00_a", "01_b", "02_c"):
        write_notebook(place.notebooks, name, "x = 1" if name < "02" else "1 / 0")
    assert place() == 1
    write_notebook(place.notebooks, "01_b", "x = 2")
    capsys.readouterr()
    assert place("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    state = {line.split()[0]: (line.split()[1], after.strip()) for line, after in
             zip(lines, [*lines[1:], ""], strict=True) if line[2:3].isdigit()}
    assert state["00_a"][0] == "0:00" or ":" in state["00_a"][0]
    assert "runs again" not in state["00_a"][1]
    assert state["01_b"][1] == "runs again: its source changed"
    assert state["02_c"] == ("failed", "runs again: its last run failed")


def test_a_quota_below_the_cores_decides_the_threads(place, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "bound_cores", lambda: 64)
    monkeypatch.setattr(machine, "cores", lambda: 3)
    write_notebook(place.notebooks, "00_a", "import os", "print(os.environ['OMP_NUM_THREADS'])")
    assert place() == 0
    assert '"3\\n"' in (place.folder / "00_a.ipynb").read_text()


def test_training_reports_and_prints_go_their_ways(place, capsys):
    write_notebook(place.notebooks, "00_a", "from lib.study.progress import track",
                   "with track('lora', 3) as p:\n    p.update(3, loss=1.5)\nprint('result')")
    assert place() == 0
    out, log = capsys.readouterr().out, (place.folder / "run.log").read_text()
    for text in (out, log):
        assert "notebook 1/1  cell 4/4  lora  step 3/3  loss 1.5" in text
    executed = (place.folder / "00_a.ipynb").read_text()
    assert "result" in executed and "step 3/3" not in executed


# --- in a copy of the repository, as a process of its own -------------------------------------

@pytest.fixture
def copy(tmp_path):
    """The parts of the repository that the runner needs, with two notebooks."""
    root = tmp_path / "copy"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("lib", "tools", "profiles"):
        shutil.copytree(paths.ROOT / name, root / name, ignore=ignored)
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(paths.ROOT / name, root / name)
    write_notebook(root / "notebooks", "00_a", "from lib.study.progress import clock_text",
                   "print(clock_text(61))")
    write_notebook(root / "notebooks", "01_b", "import lib.study.paths",
                   "print(lib.study.paths.ROOT.name)")
    return root


def environment():
    hidden = ("STUDY_RUNS", "STUDY_TRACE", "STUDY_PROGRESS", "PYTHONPATH", "VIRTUAL_ENV", "PATH")
    # Without PATH no activated environment could help the runner to find its kernel.
    return {name: value for name, value in os.environ.items() if name not in hidden}


def start(root, *arguments, **variables):
    # A suite started in the background ignores Ctrl-C, and its children would inherit that.
    command = [sys.executable, "-m", "tools", "run", "--profile", "smoke", *arguments]
    return subprocess.Popen(command, cwd=root, env=environment() | variables, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))


def test_change_in_lib_reruns_exactly_the_notebooks_that_import_it(copy):
    process = start(copy)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "copy" in (copy / "runs" / "smoke" / "01_b.ipynb").read_text()
    progress = copy / "lib" / "study" / "progress.py"
    progress.write_text("# Other words\n" + progress.read_text().replace("Seconds as", "Time as"))
    out, err = start(copy).communicate()
    assert "0 run, 2 unchanged" in out, err
    progress.write_text(progress.read_text() + "\nNEW = 1\n")
    out, err = start(copy).communicate()
    assert "00_a: runs, because lib or data that it uses changed" in out
    assert "1 run, 1 unchanged" in out and "01_b: runs" not in out


def test_a_run_needs_no_home(copy):
    write_notebook(copy / "notebooks", "00_a", "import matplotlib.pyplot as plt",
                   "print(plt.rcParams['font.size'])")
    out, err = (process := start(copy, HOME="/dev/null/home")).communicate()
    assert process.returncode == 0, err
    assert err == "" and "2 run, 0 unchanged" in out
    assert "stderr" not in (copy / "runs" / "smoke" / "00_a.ipynb").read_text()


EDITED = """
from pathlib import Path
from lib.study.notebook import Study
from lib.study.progress import clock_text
study = Study(profile, seed, overrides, notebook="01")
path = Path("lib/study/progress.py")
if not Path("edited").exists():
    path.write_text(path.read_text().replace("divmod(round(seconds), 60)", "divmod(7, 60)"))
    Path("edited").write_text("")
{build}
print(clock_text(61))
"""
BUILD = """
def make(folder):
    (folder / "a.txt").write_text(clock_text(61))
study.store.build("models", "one", {}, make)
"""


@pytest.mark.parametrize("build", [BUILD, ""])
def test_an_edit_of_lib_during_a_run_keeps_no_result_of_either_version(copy, build):
    write_notebook(copy / "notebooks", "01_b", EDITED.replace("{build}", build))
    _, err = start(copy).communicate()
    assert "lib/study/progress.py edited since this run began" in err, err
    assert "Traceback" not in err
    folder = copy / "runs" / "smoke"
    assert not list((folder / "models").glob("[a-z]*")) and not (folder / "01_b.ipynb").exists()
    notebooks = json.loads((folder / "manifest.json").read_text())["notebooks"]
    assert notebooks["00_a"]["status"] == "done" and notebooks.get("01_b", {}).get(
        "status") != "done"
    out, err = start(copy).communicate()
    assert "2 run, 0 unchanged" in out, err
    assert "0:07" in (folder / "01_b.ipynb").read_text()


SLOW = """
from pathlib import Path
from lib.study.notebook import Study
import time
study = Study(profile, seed, overrides, notebook="01")
study.store.build("models", "one", {}, lambda d: (d / "a.txt").write_text("x"))
def make(folder):
    (folder / "b.txt").write_text("half")
    if not Path("go").exists():
        Path("started").write_text("")
        time.sleep(60)
study.store.build("models", "two", {}, make)
print("end")
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_stopped_run_continues_where_it_was(copy, sent):
    write_notebook(copy / "notebooks", "01_b", SLOW)
    process = start(copy)
    until = time.monotonic() + 60
    while not (copy / "started").exists() and time.monotonic() < until:
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(sent)
    _, err = process.communicate()
    assert process.returncode == (130 if sent == signal.SIGINT else -signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    folder = copy / "runs" / "smoke"
    assert not (folder / "01_b.ipynb").exists()
    assert [path.name[:4] for path in (folder / "models").glob("[a-z]*")] == ["one-"]
    record = next((folder / "models").glob("one-*")) / "artefact.json"
    before = record.stat().st_mtime_ns

    (copy / "go").write_text("")
    out, err = start(copy).communicate()
    assert "1 run, 1 unchanged" in out, err
    assert record.stat().st_mtime_ns == before
    assert "end" in (folder / "01_b.ipynb").read_text()
    assert not list((folder / "models").glob(".*")) and not (folder / ".work").exists()


@pytest.mark.parametrize("given", ["seed=7", "finetune.rank=3"])
def test_a_run_folder_holds_one_seed_and_one_set_of_parameters(place, capsys, given):
    """One notebook with another seed once lay beside the others without a word."""
    write_notebook(place.notebooks, "00_a")
    write_notebook(place.notebooks, "01_b")
    assert place() == 0
    before = files(place.folder)
    capsys.readouterr()
    assert place("-p", given, "--only", "01") == 2
    said = capsys.readouterr().err
    assert "00_a there with seed 1" in said and "STUDY_RUNS=runs/other" in said
    assert files(place.folder) == before
    assert place("-p", given) == 0  # all of them
    assert place("-p", given, "--only", "01") == 0
    assert place("--only", "01") == 2
    assert place("--only", "01", "--fresh") == 0
