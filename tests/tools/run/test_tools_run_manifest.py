"""Manifest and machine: what ran, on what."""

import hashlib
import json
import os
import platform
import subprocess
from importlib.metadata import version

import pytest

from lib.study import machine, paths
from lib.study.profiles import load_profile
from tools.run.manifest import Manifest, hashes, read_trace

ENTRY = {"status": "done", "seconds": 2.5, "fingerprint": {"source": "s"}, "output": "0",
         "exhibits": {"figures/tables/00_x.csv": "0"}, "artefacts": {"models/base-0123": "k"}}


def test_facts_are_written_with_every_entry(tmp_path):
    manifest = Manifest(tmp_path)
    manifest.describe(load_profile("smoke", {"seed": 9}), {"seed": 9})
    manifest.save("01_b", {"status": "done", "seconds": 2.0})
    manifest.save("00_a", {"status": "failed", "seconds": 1.0})
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert (content["profile"], content["seed"], content["parameters"]) == ("smoke", 9, {"seed": 9})
    assert content["settings"]["finetune"]["rank"] == load_profile("smoke").finetune.rank
    assert content["versions"]["python"] == platform.python_version()
    assert content["versions"]["pandas"] == version("pandas")
    assert list(content["notebooks"]) == ["00_a", "01_b"]


def test_entries_survive(tmp_path):
    Manifest(tmp_path).save("00_a", ENTRY)
    again = Manifest(tmp_path)
    again.save("01_b", ENTRY | {"status": "failed", "seconds": 7.0, "error": "x"})
    third = Manifest(tmp_path)
    assert not third.damaged and third.notebooks["01_b"]["error"] == "x"
    assert third.seconds("00_a") == 2.5
    assert third.seconds("01_b") is None and third.seconds("02_c") is None


@pytest.mark.parametrize("text", ["", "{", '{"notebooks"', "[]", '{"a": 1}', '{"notebooks": 3}',
                                  '{"notebooks": "x"}', '{"notebooks": [1]}', "3", "null"])
def test_damaged_manifest_starts_empty(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    manifest = Manifest(tmp_path)
    assert manifest.damaged and manifest.notebooks == {}


DAMAGED = [
    {}, "x", [], None, 3, {"status": "done"}, ENTRY | {"status": "half"}, ENTRY | {"status": None},
    ENTRY | {"seconds": "1"}, ENTRY | {"seconds": float("nan")}, ENTRY | {"seconds": -1.0},
    ENTRY | {"fingerprint": "x"}, ENTRY | {"output": 1},
    ENTRY | {"exhibits": ["figures/a.csv"]}, ENTRY | {"artefacts": {"models/a": 3}},
    *(ENTRY | {"exhibits": {name: "0"}} for name in (
        "../../victim.txt", "figures/../../victim.txt", "/etc/passwd", "figures", "figures/", "",
        "models/base/a.txt", "figures/./a.csv", "figures//a.csv", "figures/..\\a", "x.json")),
    *(ENTRY | {"artefacts": {name: "0"}} for name in ("../x", "/x/y", "models/../../x", "x")),
]


@pytest.mark.parametrize("entry", DAMAGED)
def test_an_entry_that_was_tampered_with_counts_as_damaged_and_no_other(tmp_path, entry):
    content = {"notebooks": {"00_a": entry, "01_b": ENTRY}}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    manifest = Manifest(tmp_path)
    assert manifest.damaged and manifest.notebooks == {"01_b": ENTRY}
    assert manifest.seconds("00_a") is None


def test_trace_tells_artefacts_and_exhibits(tmp_path):
    lines = [{"artefact": "models/a", "key": "k"}, {"artefact": "models/a", "key": "k"},
             {"committed": "tables/a.csv", "sha256": ""},
             {"exhibit": "00_x", "files": ["z.csv", "a.png"]}]
    (tmp_path / "t").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_trace(tmp_path / "t") == ({"models/a": "k"}, ["a.png", "z.csv"],
                                          {"tables/a.csv": ""})
    assert read_trace(tmp_path / "absent") == ({}, [], {})


def test_hashes_of_what_exists(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    assert hashes(tmp_path, ["a", "b"]) == {"a": hashlib.sha256(b"x").hexdigest()}


def test_hardware():
    found = machine.hardware()
    assert found["cores"] <= len(os.sched_getaffinity(0))
    with open("/proc/meminfo") as file:
        kib = int(file.readline().split()[1])
    assert found["memory_gib"] == pytest.approx(kib / 2**20, abs=0.06)
    assert found["cpu"]


@pytest.mark.parametrize(("files", "cores"), [
    ({}, 8), ({"cpu.max": "max 100000"}, 8), ({"cpu.max": "250000 100000"}, 2),
    ({"cpu.max": "50000 100000"}, 1), ({"cpu.max": "1600000 100000"}, 8),
    ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
    ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
    ({"cpu.max": "what"}, 8),
])
def test_cores_are_those_of_the_containers_quota(tmp_path, monkeypatch, files, cores):
    monkeypatch.setattr(machine, "bound_cores", lambda: 8)
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    assert machine.cores(tmp_path) == cores


def test_commit_is_that_of_the_repository():
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=paths.ROOT, text=True,
                          capture_output=True)
    if head.returncode:
        assert machine.commit() is None
    else:
        assert machine.commit()["hash"] == head.stdout.strip()


def test_no_commit_outside_git(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert machine.commit() is None


def test_what_decides_rounding_is_noted(monkeypatch):
    for name in machine.ARITHMETIC:
        monkeypatch.delenv(name, raising=False)
    assert machine.hardware()["arithmetic"] == {}
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    assert machine.hardware()["arithmetic"] == {"MKL_CBWR": "COMPATIBLE"}
