"""The exported folder: read by a process that never heard of lib; whole, or not there at all."""

import ast
import errno
import json
import os
import subprocess
import sys

import huggingface_hub
import pandas as pd
import pytest

from lib.errors import InvalidValueError, StorageError
from lib.forecasting.instructions import export as writer
from lib.forecasting.instructions.export import export
from lib.forecasting.instructions.rows import COLUMNS, PROCESSES, SPLITS, instruction_sets
from lib.forecasting.instructions.styles import read_styles
from lib.study.paths import ROOT
from lib.study.profiles import load_profile

MODULES = [*(ROOT / "lib" / "forecasting" / "instructions").glob("*.py")]
SMALL = {"forecasting.series": 5, "forecasting.rounds": 2}
PROFILE = load_profile("smoke", SMALL)

READER = """
import json, sys
import datasets
folder, cache = sys.argv[1:]
disk = datasets.load_from_disk(folder)
hub = datasets.load_dataset(folder, cache_dir=cache)
print(json.dumps({
    "kind": type(disk).__name__,
    "lib": sorted(m for m in sys.modules if m.split(".")[0] == "lib"),
    "disk": {split: list(rows) for split, rows in disk.items()},
    "hub": {split: list(rows) for split, rows in hub.items()},
    "types": {name: str(kind) for name, kind in disk["train"].features.items()},
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return export(PROFILE, tmp_path_factory.mktemp("out") / "sets")


@pytest.fixture(scope="module")
def read(folder, tmp_path_factory):
    """What plain ``datasets`` reads, in a process that starts elsewhere."""
    place = tmp_path_factory.mktemp("elsewhere")
    done = subprocess.run(
        [sys.executable, "-c", READER, str(folder), str(place / "cache")], cwd=place, text=True,
        capture_output=True, env={**os.environ, "HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1",
                                  "HF_HOME": str(place / "home")},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def jsonl(folder, split):
    lines = (folder / "jsonl" / f"{split}.jsonl").read_bytes().decode("utf-8").split("\n")
    assert lines.pop() == ""
    return [json.loads(line, parse_constant=refuse) for line in lines]


def test_plain_datasets_reads_the_folder_without_lib(read):
    assert read["kind"] == "DatasetDict" and read["lib"] == []
    assert list(read["disk"]) == list(SPLITS)
    assert list(read["types"]) == list(COLUMNS)
    assert "int64" in read["types"]["horizon"] and "float64" in read["types"]["rho"]


def test_datasets_folder_and_jsonl_hold_the_same_rows(folder, read):
    for split in SPLITS:
        assert jsonl(folder, split) == read["disk"][split]


def test_header_of_the_card_makes_the_folder_a_hub_data_set(read):
    assert read["hub"] == read["disk"]


def test_rows_are_those_of_instruction_sets(folder):
    for split, frame in instruction_sets(PROFILE).items():
        rows = pd.DataFrame(jsonl(folder, split))
        assert list(rows) == list(COLUMNS)
        assert rows["messages"].tolist() == frame["messages"].tolist()
        assert rows["history"].tolist() == frame["history"].tolist()
        pd.testing.assert_series_equal(rows["forecast"], frame["forecast"], check_exact=True)
        pd.testing.assert_series_equal(rows["rho"].astype(float), frame["rho"], check_exact=True)


def test_what_does_not_apply_is_null(folder):
    for row in jsonl(folder, "test"):
        assert (row["rho"] is None) == (row["process"] != "ar1")
        assert (row["theta"] is None) == (row["process"] != "ma1")


def test_chat_is_the_form_that_chat_templates_take(folder):
    for row in jsonl(folder, "train"):
        assert all(set(message) == {"role", "content"} for message in row["messages"])
        assert row["messages"][-1] == {"role": "assistant", "content": row["answer"]}


def test_same_seed_same_bytes_and_another_seed_others(folder, tmp_path):
    again = export(PROFILE, tmp_path / "again")
    other = export(PROFILE, tmp_path / "other", seed=PROFILE.seed + 1)
    for name in ("jsonl/train.jsonl", "jsonl/validation.jsonl", "jsonl/test.jsonl", "README.md",
                 "train/data-00000-of-00001.arrow"):
        assert (folder / name).read_bytes() == (again / name).read_bytes(), name
        assert (folder / name).read_bytes() != (other / name).read_bytes(), name


def test_folder_holds_nothing_else(folder):
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "dataset_dict.json", "jsonl", *SPLITS
    }
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert folder.stat().st_mode & 0o555 == 0o555


def test_files_name_no_place_on_this_machine(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_bytes()
            assert str(folder.parent).encode() not in text and str(ROOT).encode() not in text


# The card.


def test_card_has_the_header_that_hubs_read(folder):
    card = huggingface_hub.DatasetCard.load(folder / "README.md")
    assert card.data.license == "mit" and card.data.language == ["en"]
    assert card.data.size_categories == ["n<1K"]
    paths = [file["path"] for file in card.data.to_dict()["configs"][0]["data_files"]]
    assert all((folder / path).is_file() for path in paths)


def test_card_counts_rows_by_split(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    for split in SPLITS:
        rows = jsonl(folder, split)
        series, styles = ({row[name] for row in rows} for name in ("series", "style"))
        assert (f"| **{split}** | **all** |  | **{len(rows):,}** | **{len(series)}** "
                f"| **{len(styles)}** |") in card
        for process in PROCESSES:
            n = sum(row["process"] == process for row in rows)
            assert any(line.startswith(f"| {split} | `{process}` |") and f"| {n} |" in line
                       for line in card.splitlines())


def test_card_explains_every_column_and_style_and_the_limits(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in card for name in COLUMNS)
    assert all(f"| `{style.name}` |" in card for style in read_styles())
    assert "**knows rho**" in card and "## Licence\nMIT" in card
    assert not any(mark in card for mark in ("nan", "{rows}", "{history}"))


def test_command_in_the_card_states_seed_and_label(tmp_path):
    folder = export(PROFILE, tmp_path / "sets", seed=9, label="bayes")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "--profile smoke --seed 9 --label bayes" in card and "posterior mean" in card


# Whole or not at all.


def test_folder_with_files_is_refused_and_kept(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InvalidValueError, match="1 files or folders in it.*another --out"):
        export(PROFILE, tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("below", [".", "deeper/still"])
def test_file_in_the_way_is_named(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InvalidValueError, match="a file at .*file"):
        export(PROFILE, file / below)


@pytest.mark.parametrize(("problem", "seen"), [
    (OSError(errno.ENOSPC, "full"), StorageError), (KeyboardInterrupt(), KeyboardInterrupt),
    (ValueError("broken"), ValueError),
])
def test_failure_leaves_nothing_behind(tmp_path, monkeypatch, problem, seen):
    def fail(records, folder):
        assert (folder / "jsonl" / "train.jsonl").is_file()  # half of it is written
        raise problem
    monkeypatch.setattr(writer, "_save", fail)
    with pytest.raises(seen):
        export(PROFILE, tmp_path / "sets")
    assert list(tmp_path.iterdir()) == []


def test_datasets_is_imported_by_nobody_who_does_not_export():
    assert MODULES
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [a.name for a in getattr(node, "names", [])] + [getattr(node, "module", "")]
            assert "datasets" not in names, path.name
