"""The session's tiny base model of the planted world."""

import os
import sys
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent))

import world_models  # noqa: E402


@pytest.fixture(scope="session")
def profile():
    return world_models.tiny_profile()


@pytest.fixture(scope="session")
def base():
    return world_models.tiny_base()


@pytest.fixture(scope="session")
def model():
    return world_models.tiny_model()
