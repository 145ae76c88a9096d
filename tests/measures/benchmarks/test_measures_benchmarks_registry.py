"""The registry against mirror and table for people; where files come from; what is refused."""

import functools
import hashlib
import http.server
import re
import threading
from types import SimpleNamespace

import pytest
from benchmark_data import mirror, needs

from lib.errors import DownloadError, UnknownNameError
from lib.measures.benchmarks import registry as fetch
from lib.measures.benchmarks import xstest
from lib.measures.benchmarks.registry import File, entry, locate, registry
from lib.measures.benchmarks.report import BENCHMARKS
from lib.study.paths import DATA
from tools.datasets import dataset_tables

FILES = [(d.name, f) for d in registry().values() for f in d.files.values()]
RIGHT, WRONG = b"she is a doctor\n", b"he is a doctor\n"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A web server of this machine: a folder to fill, and the address of a name in it."""
    folder = tmp_path_factory.mktemp("web")
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield SimpleNamespace(
            folder=folder, url=lambda name: f"http://127.0.0.1:{running.server_port}/{name}"
        )
        running.shutdown()


@pytest.fixture
def place(tmp_path, monkeypatch, server):
    """An empty mirror and download folder, and one registered file."""
    monkeypatch.setenv("DEBIAS_DATA_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("DEBIAS_DOWNLOAD", raising=False)
    wanted = File("sub/a.txt", hashlib.sha256(RIGHT).hexdigest(), "someone/data@c0ffee:a.txt")
    monkeypatch.setattr(File, "url", property(lambda self: self.source and server.url("a.txt")))
    monkeypatch.setattr(fetch, "entry", lambda dataset, name: wanted)
    monkeypatch.setattr(fetch, "registry", lambda: {"toy": SimpleNamespace(licence="CC0")})
    (server.folder / "a.txt").write_bytes(RIGHT)
    return SimpleNamespace(
        mirror=tmp_path / "mirror" / "toy" / "sub" / "a.txt",
        kept=tmp_path / "runs" / ".downloads" / "toy" / "sub" / "a.txt",
        web=server.folder / "a.txt",
    )


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_mirror_comes_first(place):
    write(place.mirror, RIGHT)
    write(place.kept, RIGHT)
    assert fetch.locate("toy", "sub/a.txt") == place.mirror


def test_earlier_download_serves_without_a_mirror(place, monkeypatch):
    monkeypatch.delenv("DEBIAS_DATA_MIRROR")
    write(place.kept, RIGHT)
    assert fetch.locate("toy", "sub/a.txt") == place.kept


def test_wrong_file_in_the_mirror_is_an_error_though_a_right_one_exists(place, monkeypatch):
    monkeypatch.setenv("DEBIAS_DOWNLOAD", "1")
    write(place.mirror, WRONG)
    write(place.kept, RIGHT)
    with pytest.raises(DownloadError, match=hashlib.sha256(WRONG).hexdigest()):
        fetch.locate("toy", "sub/a.txt")


def test_damaged_download_is_an_error(place):
    write(place.kept, RIGHT[:-1])
    with pytest.raises(DownloadError, match="replace that file"):
        fetch.locate("toy", "sub/a.txt")


@pytest.mark.parametrize("allowed", [None, "0", "", "yes"])
def test_nothing_is_downloaded_unasked(place, monkeypatch, allowed):
    if allowed is not None:
        monkeypatch.setenv("DEBIAS_DOWNLOAD", allowed)
    with pytest.raises(DownloadError) as problem:
        fetch.locate("toy", "sub/a.txt")
    text = str(problem.value)
    assert "DEBIAS_DOWNLOAD=1" in text and "CC0" in text and "/a.txt" in text
    assert not place.kept.exists()


def test_asked_download_arrives_and_stays(place, monkeypatch):
    monkeypatch.setenv("DEBIAS_DOWNLOAD", "1")
    assert fetch.locate("toy", "sub/a.txt") == place.kept
    assert place.kept.read_bytes() == RIGHT
    place.web.unlink()
    monkeypatch.delenv("DEBIAS_DOWNLOAD")
    assert fetch.locate("toy", "sub/a.txt").read_bytes() == RIGHT


def test_download_with_other_content_is_refused_and_leaves_nothing(place, monkeypatch):
    monkeypatch.setenv("DEBIAS_DOWNLOAD", "1")
    place.web.write_bytes(WRONG)
    with pytest.raises(DownloadError, match="SHA-256"):
        fetch.locate("toy", "sub/a.txt")
    assert not [path for path in place.kept.parent.glob("*") if path.is_file()]


def test_missing_page_is_one_clear_error(place, monkeypatch):
    monkeypatch.setenv("DEBIAS_DOWNLOAD", "1")
    place.web.unlink()
    with pytest.raises(DownloadError, match="404.*DEBIAS_DATA_MIRROR"):
        fetch.locate("toy", "sub/a.txt")


def test_file_without_an_address_is_never_sought_on_the_network(place, monkeypatch):
    monkeypatch.setenv("DEBIAS_DOWNLOAD", "1")
    rebuilt = File("sub/a.txt", "0" * 64, "")
    monkeypatch.setattr(fetch, "entry", lambda dataset, name: rebuilt)
    with pytest.raises(DownloadError) as problem:
        fetch.locate("toy", "sub/a.txt")
    assert "download it from" not in str(problem.value)


def test_unregistered_names_are_refused_though_the_file_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("DEBIAS_DATA_MIRROR", str(tmp_path))
    write(tmp_path / "blimp" / "other.jsonl", RIGHT)
    with pytest.raises(UnknownNameError, match="a file of blimp"):
        fetch.locate("blimp", "other.jsonl")


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
    assert len({file.sha256 for _, file in FILES}) == len(FILES)


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


def test_readme_shows_every_dataset_and_checksum():
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    for block in dataset_tables().split("\n\n"):
        assert block in readme, "paste what side-effects data prints"
    for dataset, file in FILES:
        assert file.sha256 in readme and registry()[dataset].licence in readme
    assert "| a mirror only |" in readme and "zjunlp/EditBias@5ecfebcf" in readme


@needs(*registry())
def test_every_registered_file_is_read_by_a_loader(monkeypatch):
    read, real = set(), entry
    monkeypatch.setattr(fetch, "entry", lambda *names: read.add(names) or real(*names))
    for benchmark in BENCHMARKS.values():
        if not benchmark.gated:
            benchmark.items()
    xstest.prompts()
    assert read == {(dataset, file.name) for dataset, file in FILES}


def test_registry_cannot_be_changed_by_accident():
    with pytest.raises(TypeError):
        registry()["other"] = None


@pytest.mark.parametrize("name, advice", [(("stereset", "x"), "stereoset"),
                                          (("winobias", "male_job.txt"), "male_occupations.txt")])
def test_unknown_names_get_advice(name, advice):
    with pytest.raises(UnknownNameError, match=f"did you mean {advice}"):
        entry(*name)
