"""Advice for names that do not exist."""

import pytest

from lib.errors import nearest

VALID = ["finetune.rank", "finetune.alpha", "pretrain.steps", "seed"]


@pytest.mark.parametrize(
    ("name", "best"),
    [("finetune.rnk", "finetune.rank"), ("rank", "finetune.rank"), ("sed", "seed"),
     ("pretrain.step", "pretrain.steps"), ("model.alpha", "finetune.alpha")],
)
def test_closest_name(name, best):
    assert nearest(name, VALID) == f"did you mean {best}"


def test_all_names_if_none_is_close():
    assert nearest("zzzz", ["alpha", "beta"]) == "choose one of alpha, beta"


def test_nothing_to_choose():
    assert nearest("x", []) == "there is none to choose"
