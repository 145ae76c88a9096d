"""Values in Markdown tables stay in their cell; YAML numbers are what people call numbers."""

import pytest

from lib.errors import InvalidValueError
from lib.study.text import cell, parse_yaml, read_text, read_yaml, table


@pytest.mark.parametrize("value, shown", [
    ("a|b", r"a\|b"), ("two\nlines\t here ", "two lines here"), ("x_y*z`", r"x\_y\*z\`"),
    ("<!-- -->", "&lt;!-- --&gt;"), ("[a](b)", r"\[a\](b)"), ("c:\\d", r"c:\\d"), ("", ""),
    (None, "None"), (3, "3"), ("R&D", "R&amp;D"),
])
def test_markup_becomes_text(value, shown):
    assert cell(value) == shown


def test_a_table_has_header_rule_and_rows():
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_every_row_keeps_its_number_of_columns():
    lines = table(["a", "b"], [[cell("x|y\n|"), cell("|")]]).splitlines()
    assert {line.replace(r"\|", "").count("|") for line in lines} == {3}


@pytest.mark.parametrize(
    ("text", "value"),
    [("3e-3", 0.003), ("-2E5", -2e5), ("1.5e+2", 150.0), ("3.e2", 300.0), ("12", 12),
     ("-7", -7), ("0", 0), (".5", 0.5), ("-.inf", float("-inf")), ("2.", 2.0),
     ("e3", "e3"), ("1e", "1e"), ("yes", True), ("", None)],
)
def test_values(text, value):
    parsed = parse_yaml(text, "x")
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize("text", ["010", "0x1F", "0b11", "1_000", "1:30", "1:30.5", "2026-01-02"])
def test_what_only_old_yaml_takes_for_a_number_or_a_date_stays_text(text):
    assert parse_yaml(text, "x") == text


def test_key_given_twice_is_refused():
    with pytest.raises(InvalidValueError, match="'a' is given twice on line 3"):
        parse_yaml("a: 1\nb: 2\na: 3\n", "x.yaml")


def test_same_key_in_two_sections_is_fine():
    assert parse_yaml("a: {c: 1}\nb: {c: 2}", "x") == {"a": {"c": 1}, "b": {"c": 2}}


@pytest.mark.parametrize("text", ["a: b: c", "[1, 2", "{a: 1", "a:\n\t- 1", "!!int x",
                                  "[" * 5000, "a\0b"])
def test_what_is_not_yaml_is_refused_with_its_source(text):
    with pytest.raises(InvalidValueError, match="here.yaml"):
        parse_yaml(text, "here.yaml")


def test_no_python_objects():
    with pytest.raises(InvalidValueError):
        parse_yaml("!!python/object/apply:os.getcwd []", "x")


def test_file_must_be_a_mapping(tmp_path):
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    with pytest.raises(InvalidValueError, match="list.yaml"):
        read_yaml(tmp_path / "list.yaml")


def test_file_is_read_as_utf8(tmp_path):
    (tmp_path / "x.yaml").write_bytes("city: Zürich\n".encode())
    assert read_yaml(tmp_path / "x.yaml") == {"city": "Zürich"}


@pytest.mark.parametrize("read", [read_text, read_yaml])
def test_another_encoding_and_a_folder_are_explained(tmp_path, read):
    (tmp_path / "x.yaml").write_bytes("city: Zürich\n".encode("latin-1"))
    with pytest.raises(InvalidValueError, match="UTF-8 in x.yaml.*0xfc at position 7"):
        read(tmp_path / "x.yaml")
    with pytest.raises(InvalidValueError, match="can be read"):
        read(tmp_path)
