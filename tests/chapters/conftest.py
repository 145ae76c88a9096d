"""A study of the safety chapters on the tiny base; other chapters' tests have their own."""

import pytest
import world_models


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"), "05")


@pytest.fixture(scope="module")
def bases():
    return dict.fromkeys((1, 2), world_models.tiny_base())
