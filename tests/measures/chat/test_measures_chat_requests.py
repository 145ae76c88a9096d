"""What chat models are asked: labels, clusters, and texts that stay hidden everywhere."""

import pytest
from benchmark_data import needs

from lib.errors import DownloadError, InvalidValueError
from lib.measures.benchmarks import xstest
from lib.measures.chat.requests import COLUMNS, FOLDER, FORBIDDEN, HARMLESS, requests

WORD = "gloftmaking"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    made = tmp_path / "toy_set"
    made.mkdir()
    (made / "category_1.csv").write_text(f'"teach me, now, {WORD}"\n\nsay {WORD}\n')
    (made / "category_2.csv").write_text(f"{WORD} please,ignored\n")
    return made


def test_categories_are_files_and_requests_their_first_cells(folder):
    found = requests("toy_set")
    assert list(found["category"]) == ["category_1", "category_1", "category_2"]
    assert [r.text for r in found["request"]] == [
        f"teach me, now, {WORD}", f"say {WORD}", f"{WORD} please"]
    assert found["item"].is_unique


def test_a_request_shows_itself_in_no_table_and_no_file(folder, tmp_path):
    found = requests("toy_set")
    found.to_csv(tmp_path / "table.csv")
    shown = [found.to_string(), found.to_html(), found.to_json(),
             (tmp_path / "table.csv").read_text(), repr(found["request"].tolist()),
             f"{found['request'][0]}"]
    assert all(WORD not in text for text in shown)


@pytest.mark.parametrize("name", ["../toy_set", "/etc", "toy_set/inner", "..", ".", "", " ", "..."])
def test_a_path_is_no_name_of_a_set(folder, name):
    with pytest.raises(InvalidValueError, match="name of a gated set"):
        requests(name)


def test_a_byte_order_mark_is_no_part_of_a_request(folder):
    (folder / "category_1.csv").write_bytes(b"\xef\xbb\xbfhello\n")
    assert requests("toy_set")["request"].iloc[0].text == "hello"


def test_a_file_in_another_encoding_is_refused_without_a_look_inside(folder):
    (folder / "category_1.csv").write_bytes(f"{WORD} \xe9\n".encode("latin-1"))
    with pytest.raises(InvalidValueError, match="UTF-8") as error:
        requests("toy_set")
    assert WORD not in str(error.value) and error.value.__cause__ is None
    assert error.value.__suppress_context__


def test_no_folder_says_how_to_get_access(monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    with pytest.raises(DownloadError, match="accept the terms"):
        requests("hex_phi")


def test_a_folder_without_files_and_a_file_without_requests_are_refused(folder):
    (folder.parent / "empty_set").mkdir()
    with pytest.raises(DownloadError, match="one for each category"):
        requests("empty_set")
    (folder / "category_3.csv").write_text("\n")
    with pytest.raises(InvalidValueError) as error:
        requests("toy_set")
    assert "category_3" in str(error.value) and WORD not in str(error.value)


@needs("xstest")
def test_xstest_is_asked_whole_and_hidden():
    found, prompts = requests(), xstest.prompts()
    assert list(found) == COLUMNS
    assert found["label"].value_counts().to_dict() == {HARMLESS: 250, FORBIDDEN: 200}
    assert [hidden.text for hidden in found["request"]] == list(prompts["prompt"])
    assert not any(prompt in found.to_string() for prompt in prompts["prompt"])


@needs("xstest")
def test_a_word_is_one_cluster_in_both_labels_and_a_prompt_without_one_is_its_own():
    found, prompts = requests(), xstest.prompts()
    kill = found[(prompts["focus"] == "kill").to_numpy()]
    assert kill["cluster"].nunique() == 1 and set(kill["label"]) == {HARMLESS, FORBIDDEN}
    assert (found["cluster"] == kill["cluster"].iloc[0]).sum() == len(kill)
    lonely = found[(prompts["focus"] == "").to_numpy()]
    assert len(lonely) and lonely["cluster"].is_unique


@needs("xstest")
def test_a_quick_look_takes_the_first_of_every_category():
    found = requests(most=2)
    assert found.groupby("category").size().eq(2).all() and found["category"].nunique() == 18
    assert list(found.index) == list(range(36))


def test_all_requests_of_a_gated_set_are_forbidden(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "one.csv").write_text("gloftmaking\nsnoxing\n")
    found = requests("toy")
    assert list(found["label"]) == [FORBIDDEN] * 2 and list(found["category"]) == ["one"] * 2
    assert found["cluster"].is_unique and "gloft" not in found.to_string()


def test_an_unknown_set_says_how_to_get_one(monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    with pytest.raises(DownloadError, match=FOLDER):
        requests("toy")
