"""The README is what its generator makes of the committed files, and what it names exists."""

import json
import os
import re
import shutil

import pytest
import simulated_runs

from lib.chapters.claims import Claim
from lib.errors import InvalidValueError
from lib.statistics.bases import RUN_COLUMNS
from lib.study import paths
from lib.study.notebook import csv_text
from tools import readme, reference
from tools.cli import app
from tools.readme import extract, runtime

CLAIM = simulated_runs.CLAIM
TEXT = (paths.ROOT / "README.md").read_text(encoding="utf-8")
EMPTY = "".join(f"<!-- generated:{name} -->\n<!-- /generated -->\n" for name in readme.BLOCKS)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """An empty repository: no figures, no notebooks, a README of empty blocks."""
    for name in ("FIGURES", "NOTEBOOKS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
        (tmp_path / name.lower()).mkdir()
    (paths.FIGURES / "tables").mkdir()
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "REAL_FIGURES", paths.FIGURES / "real")
    (tmp_path / "README.md").write_text(EMPTY)
    return tmp_path


def commit_table(id, text):
    (paths.FIGURES / "tables" / f"{id}.csv").write_text(text)


def test_the_readme_is_up_to_date():
    assert readme.refresh(write=False) == ""


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "data/README.md"])
def test_files_that_a_text_names_exist(name):
    text, place = (paths.ROOT / name).read_text(encoding="utf-8"), (paths.ROOT / name).parent
    linked = [place / link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    folders = "lib|tools|data|figures|notebooks|profiles|tests|scripts|benchmarks"
    named = re.findall(rf"`((?:{folders})/[^`<*]*)`", text)
    named += re.findall(r"`([\w./]+\.(?:lock|toml|sh))`", text)
    assert len(linked) + len(named) > 5 and [path for path in linked if not path.exists()] == []
    assert [p for p in named if not (paths.ROOT / p).exists() and not (place / p).exists()] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "data/README.md"])
def test_modules_and_commands_that_a_text_names_exist(name):
    text = (paths.ROOT / name).read_text(encoding="utf-8")
    modules = set(re.findall(r"\b(lib(?:\.[a-z_]+)+)\b", text))
    assert [m for m in modules if not any(
        (paths.ROOT / part.replace(".", "/")).with_suffix(".py").is_file()
        or (paths.ROOT / part.replace(".", "/")).is_dir() and part.count(".") == m.count(".")
        for part in (m, m.rpartition(".")[0]))] == []
    assert not re.search(r"python -m (?!benchmarks)", text)
    commands = {c.name or c.callback.__name__ for c in app.registered_commands}
    commands |= {group.name for group in app.registered_groups}
    assert set(re.findall(r"side-effects (\w+)", text)) <= commands


@pytest.mark.parametrize("command", ["run_all.sh", "tests/run.sh"])
def test_the_two_commands_are_named_and_executable(command):
    assert f"`./{command}`" in TEXT
    assert os.access(paths.ROOT / command, os.X_OK)


def test_options_that_the_readme_names_are_options_of_run_all():
    usage = (paths.ROOT / "run_all.sh").read_text()
    options = set(re.findall(r"run_all\.sh (--[a-z]+)", TEXT)) | {"--conda", "--help"}
    assert {"--only", "--fresh", "--profile"} <= options
    assert all(option in usage for option in options)


def test_every_exhibit_that_a_notebook_saves_has_a_caption_and_no_other_has():
    sources = "".join(p.read_text(encoding="utf-8") for p in paths.NOTEBOOKS.glob("*.ipynb"))
    saved = set(re.findall(r'exhibit\(\\"(\w+)\\"', sources))
    assert set(readme.captions()) == saved | set(readme.exhibit_files())


def test_without_anything_committed_every_block_says_so(tree):
    readme.refresh()
    text = (tree / "README.md").read_text()
    assert text.count("No reference run is committed yet") == 2
    assert "No run whose claims could be decided" in text and "No exhibit is committed yet" in text
    assert "No notebook yet" in text and "headline figure" in text and "![" not in text


def test_rendering_twice_changes_nothing(tree):
    once = readme.render(EMPTY)
    assert once != EMPTY and readme.render(once) == once


def test_an_exhibit_lists_its_files_notebook_and_metrics(tree):
    commit_table("02_persistence", "arm,metric\nbase,implied_persistence\nlora,task_loss\n")
    (paths.FIGURES / "02_persistence.png").touch()
    (paths.NOTEBOOKS / "02_over.ipynb").write_text('{"cells": []}')
    row = readme.exhibits().splitlines()[2]
    assert "[png](figures/02_persistence.png), [csv](figures/tables/02_persistence.csv)" in row
    assert r"implied\_persistence, task\_loss" in row and "(notebooks/02_over.ipynb)" in row


@pytest.mark.parametrize("content", ["", "arm,metric\n", "arm\nbase\n"])
def test_a_table_without_metrics_is_shown_as_empty(tree, content):
    commit_table("01_none", content)
    assert "an empty table" in readme.exhibits()


def test_a_caption_stands_before_metrics_and_is_escaped(tree):
    commit_table("01_a", "metric\nvalue\n")
    (paths.FIGURES / "captions.yml").write_text("01_a: 'a | b <!-- /generated -->'\n")
    row = readme.exhibits().splitlines()[2]
    assert r"a \| b &lt;!-- /generated --&gt;" in row and "value" not in row


def test_the_headline_figure_is_shown_once_it_is_committed(tree):
    (paths.FIGURES / f"{readme.HEADLINE}.png").touch()
    assert f"](figures/{readme.HEADLINE}.png)" in readme.headline()


def test_profiles_say_which_can_run():
    rows = {line.split("`")[1]: line for line in readme.profiles().splitlines()[2:]}
    assert set(rows) == {p.stem for p in paths.PROFILES.glob("*.yaml")}
    assert {n for n, row in rows.items() if row.endswith("| yes |")} == {
        "sandbox", "smoke", "reference", "real", "real-smoke"}
    assert "| 4 bases x 1 seed |" in rows["sandbox"]
    assert "| 12 bases x 2 seeds |" in rows["reference"]


def test_a_notebook_shows_its_title_and_question(tree):
    cell = {"cell_type": "markdown", "source": ["# 01 · Good | fair\n", "\n", "**Question.** Why?"]}
    (paths.NOTEBOOKS / "01_good.ipynb").write_text(json.dumps({"cells": [cell]}))
    assert readme.notebooks().splitlines()[2] == (
        r"| [01](notebooks/01_good.ipynb) | Good \| fair | Why? |")


def test_check_names_what_differs_and_writes_nothing(tree, capsys, side_effects):
    assert side_effects("readme", "--check") == 1
    assert "+*No notebook yet.*" in capsys.readouterr().out
    assert (tree / "README.md").read_text() == EMPTY


@pytest.mark.parametrize("text", [
    "", EMPTY + EMPTY, EMPTY.replace("runtime", "weather"),
    EMPTY.replace("<!-- /generated -->\n", "", 1),
])
def test_missing_doubled_unknown_and_unclosed_blocks_are_refused(text):
    with pytest.raises(InvalidValueError, match="one block each"):
        readme.render(text)


def test_a_bad_manifest_leaves_everything_as_it_was(tree, capsys, side_effects):
    assert side_effects("readme", "--manifest", str(tree / "absent.json")) == 2
    assert "Expected the manifest of a run" in capsys.readouterr().err
    assert not (paths.FIGURES / "run.json").exists()
    assert (tree / "README.md").read_text() == EMPTY


def test_it_does_not_depend_on_the_working_directory(tmp_path, monkeypatch, side_effects):
    monkeypatch.chdir(tmp_path)
    assert side_effects("readme", "--check") == 0


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    """A manifest of two notebooks beside a result file of 3 MB."""
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "committed")
    paths.FIGURES.mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_bytes(bytes(3_000_000))

    def write(**changes):
        entry = {"status": "done", "started": "2031-05-05T10:00:00+00:00", "seconds": 61.4,
                 "peak_memory_mb": 900, "artefacts": {"/home/lovelace/secret/models": "abc"},
                 "fingerprint": {"lib": "f00"}, "exhibits": {}}
        content = {
            "profile": "sandbox", "seed": 1, "parameters": {}, "settings": {},
            "versions": {"python": "3.11.7", "torch": "2.13.0", "arch": None},
            "hardware": {"cpu": "Chip | 3", "cores": 2, "memory_gib": 7.6, "gpu": None,
                         "system": "Linux x86_64", "hostname": "lovelace-laptop"},
            "commit": {"hash": "c0ffee", "dirty": True}, "updated": "2031-05-05T11:00:00+00:00",
            "notebooks": {"01_b": entry, "00_a": {**entry, "seconds": 3600.0,
                                                  "peak_memory_mb": 1200}},
        }
        path = tmp_path / "run" / "manifest.json"
        path.write_text(json.dumps({**content, **changes}))
        return path

    return write


def show(facts):
    (paths.FIGURES / "run.json").write_text(json.dumps(facts))
    return runtime()


def test_the_extract_keeps_cost_hardware_seed_and_versions(manifest):
    facts = extract(manifest())
    assert facts["notebooks"] == {"00_a": {"seconds": 3600, "peak_memory_mb": 1200},
                                  "01_b": {"seconds": 61, "peak_memory_mb": 900}}
    assert (facts["seed"], facts["storage_mb"], facts["versions"]["torch"]) == (1, 3, "2.13.0")


@pytest.mark.parametrize("private", ["lovelace", "secret", "c0ffee", "2031", "f00", "/"])
def test_the_extract_names_no_path_host_commit_or_date(manifest, private):
    assert private not in json.dumps(extract(manifest()))


def test_the_table_sums_time_and_takes_the_largest_memory(manifest):
    text = show(extract(manifest()))
    assert text.splitlines()[-1] == "| all | 1:01:01 | 1200 |"
    assert "| `01_b` | 1:01 | 900 |" in text


def test_a_cell_bar_in_a_processor_name_is_escaped_and_no_gpu_is_said(manifest):
    text = show(extract(manifest()))
    assert r"Chip \| 3" in text and "no GPU" in text


def test_without_an_extract_the_block_says_how_to_make_one(manifest):
    assert "No reference run is committed yet" in runtime()


@pytest.mark.parametrize("changes, found", [
    ({"parameters": {"finetune.rank": 8}}, "finetune.rank"),
    ({"notebooks": {}}, "0 in all"),
    ({"notebooks": {"00_a": {"status": "failed"}}}, "00_a"),
    ({"notebooks": {"00_a": {"status": "done"}}}, "KeyError"),
    ({"hardware": {}}, "KeyError"),
    ({"notebooks": 3}, "AttributeError|TypeError"),
])
def test_changed_unfinished_and_damaged_runs_are_refused(manifest, changes, found):
    with pytest.raises(InvalidValueError, match=found):
        extract(manifest(**changes))


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_file_that_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InvalidValueError, match="Expected the manifest of a run"):
        extract(tmp_path / "manifest.json")


def test_the_extract_says_on_which_bases_and_what_it_concludes(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "claims", lambda: (Claim(**CLAIM),))
    run = simulated_runs.save(tmp_path / "run")
    facts = json.loads((run / "manifest.json").read_text())
    cost = {"status": "done", "seconds": 1.0, "peak_memory_mb": 9}
    facts["notebooks"] = {"03": cost | facts["notebooks"]["03"]}
    facts["hardware"] |= {"memory_gib": 1, "gpu": None, "system": "x"}
    (run / "manifest.json").write_text(json.dumps(facts | {"versions": {}}))
    found = extract(run / "manifest.json")
    assert found["bases"]["2"] == "2+" * 8 and len(found["bases"]) == 4
    assert found["claims"] == {"03_lowers": "holds"}


@pytest.fixture
def decided(tree, monkeypatch):
    """A committed reference, and a default run in which the one claim stays open."""
    for module in (reference, readme):
        monkeypatch.setattr(module, "claims", lambda: (Claim(**CLAIM, headline=True),))
    (paths.FIGURES / "runs").mkdir()
    runs = csv_text(simulated_runs.run_table(range(1, 13), 2), RUN_COLUMNS)
    (paths.FIGURES / "runs" / "03_runs.csv").write_text(runs)
    (paths.FIGURES / "default.json").write_text(
        json.dumps({"claims": {"03_lowers": "not enough evidence"}}))


def test_claims_are_counted_in_the_reference_and_in_the_default_run(decided):
    header, _, *rows = readme.claims_().splitlines()
    assert header == ("| run | holds | does not hold | not enough evidence | not in this run |")
    assert rows == ["| `reference` | 1 | 0 | 0 | 0 |", "| `sandbox` | 0 | 0 | 1 | 0 |"]


def test_a_finding_stands_with_its_number_and_the_verdict_that_was_computed(decided):
    row = readme.findings().splitlines()[2]
    number = re.search(r"(-0\.\d\d) \\\[(-0\.\d\d), (-0\.\d\d)", row)
    value, low, high = map(float, number.groups())
    assert low <= value <= high and abs(value + 0.3) < 0.02  # as planted
    assert row.startswith("| LoRA lowers the slope. | below -0.1 |") and row.endswith("| holds |")


def test_where_a_real_model_was_run_its_verdict_stands_beside(decided):
    shutil.copytree(paths.FIGURES / "runs", paths.REAL_FIGURES / "runs")
    header, _, row = readme.findings().splitlines()
    assert header.endswith("| in a real model |") and row.endswith("| holds | holds |")


def test_a_profile_says_what_it_costs_measured_or_not(tree):
    facts = {"hardware": {"cores": 2}, "storage_mb": 7,
             "notebooks": {"00_a": {"seconds": 61, "peak_memory_mb": 5},
                           "01_b": {"seconds": 2, "peak_memory_mb": 9}}}
    (paths.FIGURES / "real.json").write_text(json.dumps(facts))
    rows = {row.split("`")[1]: row for row in readme.costs().splitlines()[2:]}
    assert rows["real"] == "| `real` | 1:03 | 9 MB | 93 MB | 7 MB | measured on 2 cores |"
    assert rows["laptop"] == ("| `laptop` | not measured | 1976 MB | 988 MB | 9880 MB | "
                              "estimated |")
    assert "none" in rows["smoke"] and set(rows) == {p.stem for p in paths.PROFILES.glob("*.yaml")}
