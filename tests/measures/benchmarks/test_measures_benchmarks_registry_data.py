"""The registry, against the mirror's own descriptions and the table for people."""

import re

import pytest
from benchmark_data import mirror

from lib.errors import UnknownNameError
from lib.measures.benchmarks.registry import catalogue, checksums, entry, locate, registry
from lib.study.paths import DATA
from tools.datasets import dataset_tables

FILES = [(d.name, f) for d in registry().values() for f in d.files.values()]


@pytest.mark.parametrize("dataset, file", FILES, ids=lambda v: getattr(v, "name", v))
def test_every_file_has_a_checksum_and_an_unchanging_address(dataset, file):
    assert re.fullmatch("[0-9a-f]{64}", file.sha256)
    if file.source:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}:.+", file.source)
        owner, commit, path = re.fullmatch(r"(.+)@(.+?):(.+)", file.source).groups()
        assert file.url.endswith(f"/{owner}/{commit}/{path}") and file.url.startswith("https://")


def test_only_the_rebuilt_file_has_no_address():
    assert [f.name for _, f in FILES if not f.url] == ["Gender_identity_reconstructed.jsonl"]


def test_no_two_files_are_the_same_content():
    assert checksums()["sha256"].is_unique and len(checksums()) == len(FILES)


@pytest.mark.parametrize("name", list(registry()))
def test_mirror_describes_and_holds_the_registered_bytes(name):
    described = mirror() / name / "SOURCE.md"
    if not described.is_file():
        pytest.skip(f"needs {name} under DEBIAS_DATA_MIRROR")
    table = dict(re.findall(r"^\| (\S+) \| \d+ \| (\w{64}) \|", described.read_text(), re.M))
    for file in registry()[name].files.values():
        assert table[file.name] == file.sha256
        assert locate(name, file.name) == mirror() / name / file.name


def test_every_dataset_says_what_it_is_and_whose():
    for dataset in registry().values():
        assert dataset.files and dataset.title and dataset.licence
        assert re.search(r"\(20\d\d\)", dataset.citation), dataset.citation


def test_catalogue_has_one_row_a_dataset():
    table = catalogue()
    assert table["dataset"].tolist() == list(registry())
    assert table["files"].sum() == len(FILES)
    bbq = table.set_index("dataset").loc["bbq"]
    assert bbq["source"] == "a mirror only" and "byte" in bbq["note"]
    assert "zjunlp/EditBias@5ecfebcf" in table["source"].iloc[0]


def test_readme_shows_the_catalogue_and_every_checksum():
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    for block in dataset_tables().split("\n\n"):
        assert block in readme, "run python -m lib.measures.benchmarks and paste its tables"
    for _, file in FILES:
        assert file.sha256 in readme


def test_registry_cannot_be_changed_by_accident():
    with pytest.raises(TypeError):
        registry()["other"] = None


@pytest.mark.parametrize("name, advice", [(("stereset", "x"), "stereoset"),
                                          (("wikitext2", "test"), "test.txt")])
def test_unknown_names_get_advice(name, advice):
    with pytest.raises(UnknownNameError, match=f"did you mean {advice}"):
        entry(*name)
