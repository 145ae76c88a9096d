"""Parameters: a notebook must take what it is given."""

import json

import pytest
from toy_notebooks import write_notebook

from lib.errors import InvalidValueError, UnknownNameError
from tools.run.parameters import check_parameters


@pytest.mark.parametrize(
    "cell",
    ['profile = "smoke"\nseed = 1\noverrides = {}',
     'profile: str = "smoke"  # which\nseed: int = 1\noverrides: dict = {"finetune.rank": 2}',
     'profile = "smoke"\nseed = None\noverrides = None\nmore = 3'],
)
def test_good_cells(tmp_path, cell):
    assert check_parameters(write_notebook(tmp_path, "00_a", parameters=cell)) is None


@pytest.mark.parametrize(
    ("cell", "error", "words"),
    [
        ('profile = "smoke"\nsead = 1\noverrides = {}', UnknownNameError, "did you mean sead"),
        ('profile = "smoke"\nseed = "1"\noverrides = {}', InvalidValueError, "seed to be int"),
        ('profile = "smoke"\nseed = True\noverrides = {}', InvalidValueError, "seed to be int"),
        ('profile = 3\nseed = 1\noverrides = {}', InvalidValueError, "profile to be str"),
        ('profile = "a"\nseed = 1\noverrides = []', InvalidValueError, "overrides to be dict"),
        ('profile = "a"\nseed = 1 + x\noverrides = {}', InvalidValueError, "literals"),
        ("# nothing", InvalidValueError, "tagged parameters"),
    ],
)
def test_bad_cells(tmp_path, cell, error, words):
    with pytest.raises(error, match=words) as caught:
        check_parameters(write_notebook(tmp_path, "00_a", parameters=cell))
    assert "00_a.ipynb" in str(caught.value)


def test_untagged_cell_does_not_count(tmp_path):
    path = write_notebook(tmp_path, "00_a")
    content = json.loads(path.read_text())
    content["cells"][0]["metadata"] = {}
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidValueError, match="tagged parameters"):
        check_parameters(path)
