"""Values in Markdown tables stay in their cell."""

import pytest

from lib.study.text import cell, table


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
