"""The README is what its generator makes of the committed files, and what it names exists."""

import json
import os
import re

import pytest

from lib.errors import InvalidValueError
from lib.study import paths
from tools import readme
from tools.cli import app

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


def test_every_caption_belongs_to_an_exhibit_that_a_notebook_saves():
    sources = "".join(p.read_text(encoding="utf-8") for p in paths.NOTEBOOKS.glob("*.ipynb"))
    saved = set(re.findall(r'exhibit\(\\"(\w+)\\"', sources))
    assert set(readme.captions()) <= saved | set(readme.exhibit_files())


def test_without_anything_committed_every_block_says_so(tree):
    readme.refresh()
    text = (tree / "README.md").read_text()
    assert "No reference run is committed yet" in text and "No exhibit is committed yet" in text
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
    (paths.FIGURES / "03_before_after.png").touch()
    assert "](figures/03_before_after.png)" in readme.headline()


def test_profiles_say_which_can_run():
    rows = {line.split("`")[1]: line for line in readme.profiles().splitlines()[2:]}
    assert set(rows) == {p.stem for p in paths.PROFILES.glob("*.yaml")}
    assert {n for n, row in rows.items() if row.endswith("| yes |")} == {
        "sandbox", "smoke", "thorough"}


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
