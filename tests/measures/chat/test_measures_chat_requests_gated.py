"""Gated requests: only where a folder is named, and never in anything that is written."""

import pytest

from lib.errors import DownloadError, InvalidValueError
from lib.measures.chat import requests as gated

WORD = "gloftmaking"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(gated.FOLDER, str(tmp_path))
    made = tmp_path / "toy_set"
    made.mkdir()
    (made / "category_1.csv").write_text(f'"teach me, now, {WORD}"\n\nsay {WORD}\n')
    (made / "category_2.csv").write_text(f"{WORD} please,ignored\n")
    return made


def test_categories_are_files_and_requests_their_first_cells(folder):
    found = gated.gated_requests("toy_set")
    assert list(found["category"]) == ["category_1", "category_1", "category_2"]
    assert [r.text for r in found["request"]] == [
        f"teach me, now, {WORD}", f"say {WORD}", f"{WORD} please"]
    assert found["item"].is_unique


def test_a_request_shows_itself_in_no_table_and_no_file(folder, tmp_path):
    found = gated.gated_requests("toy_set")
    found.to_csv(tmp_path / "table.csv")
    shown = [found.to_string(), found.to_html(), found.to_json(),
             (tmp_path / "table.csv").read_text(), repr(found["request"].tolist()),
             f"{found['request'][0]}"]
    assert all(WORD not in text for text in shown)


@pytest.mark.parametrize("name", ["../toy_set", "/etc", "toy_set/inner"])
def test_a_path_is_no_name_of_a_set(folder, name):
    with pytest.raises(InvalidValueError, match="name of a gated set"):
        gated.gated_requests(name)


def test_a_byte_order_mark_is_no_part_of_a_request(folder):
    (folder / "category_1.csv").write_bytes(b"\xef\xbb\xbfhello\n")
    assert gated.gated_requests("toy_set")["request"].iloc[0].text == "hello"


def test_a_file_in_another_encoding_is_refused_without_a_look_inside(folder):
    (folder / "category_1.csv").write_bytes(f"{WORD} \xe9\n".encode("latin-1"))
    with pytest.raises(InvalidValueError, match="UTF-8") as error:
        gated.gated_requests("toy_set")
    assert WORD not in str(error.value) and error.value.__cause__ is None
    assert error.value.__suppress_context__


def test_no_folder_says_how_to_get_access(monkeypatch):
    monkeypatch.delenv(gated.FOLDER, raising=False)
    with pytest.raises(DownloadError, match="accept the terms"):
        gated.gated_requests("hex_phi")


def test_a_folder_without_files_and_a_file_without_requests_are_refused(folder):
    (folder.parent / "empty_set").mkdir()
    with pytest.raises(DownloadError, match="one for each category"):
        gated.gated_requests("empty_set")
    (folder / "category_3.csv").write_text("\n")
    with pytest.raises(InvalidValueError) as error:
        gated.gated_requests("toy_set")
    assert "category_3" in str(error.value) and WORD not in str(error.value)
