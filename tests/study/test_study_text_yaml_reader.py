"""YAML: scientific numbers are numbers, mistakes are explained."""

import pytest

from lib.errors import InvalidValueError
from lib.study.text import parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [("3e-3", 0.003), ("-2E5", -2e5), ("1.5e+2", 150.0), ("3.e2", 300.0), ("12", 12),
     ("e3", "e3"), ("1e", "1e"), ("yes", True), ("", None)],
)
def test_values(text, value):
    parsed = parse_yaml(text, "x")
    assert parsed == value and type(parsed) is type(value)


def test_key_given_twice_is_refused():
    with pytest.raises(InvalidValueError, match="'a' is given twice on line 3"):
        parse_yaml("a: 1\nb: 2\na: 3\n", "x.yaml")


def test_same_key_in_two_sections_is_fine():
    assert parse_yaml("a: {c: 1}\nb: {c: 2}", "x") == {"a": {"c": 1}, "b": {"c": 2}}


@pytest.mark.parametrize("text", ["a: b: c", "[1, 2", "{a: 1", "a:\n\t- 1"])
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
