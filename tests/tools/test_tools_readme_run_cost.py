"""The committed extract of a manifest: complete, plain runs only, nothing of the owner."""

import json

import pytest

from lib.errors import InvalidValueError
from lib.study import paths
from tools.readme import extract, runtime


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    """A manifest of two notebooks beside a result file of 3 MB."""
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "committed")
    paths.FIGURES.mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_bytes(bytes(3_000_000))

    def write(**changes):
        entry = {"status": "done", "started": "2031-05-05T10:00:00+00:00", "seconds": 61.4,
                 "peak_memory_mb": 900, "artefacts": {"/home/ada/secret/models": "abc"},
                 "fingerprint": {"lib": "f00"}, "exhibits": {}}
        content = {
            "profile": "sandbox", "seed": 1, "parameters": {}, "settings": {},
            "versions": {"python": "3.11.7", "torch": "2.13.0", "arch": None},
            "hardware": {"cpu": "Chip | 3", "cores": 2, "memory_gib": 7.6, "gpu": None,
                         "system": "Linux x86_64", "hostname": "ada-laptop"},
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


@pytest.mark.parametrize("private", ["ada", "secret", "c0ffee", "2031", "f00", "/"])
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
