"""Errors: three parts that travel between processes, and advice for names that do not exist."""

import inspect
import pickle

import pytest

from lib import errors
from lib.errors import StudyError, nearest

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


def test_every_error_survives_pickling():
    """As between processes; without help an exception is rebuilt from its message alone."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)
             if issubclass(kind, StudyError)]
    assert len(kinds) > 5
    for kind in kinds:
        twin = pickle.loads(pickle.dumps(kind("a", "b", "c")))
        assert type(twin) is kind and (twin.expected, twin.found, twin.fix) == ("a", "b", "c")
        assert str(twin) == "Expected a. Found b. What to do: c."
