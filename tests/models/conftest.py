"""Models shared by the scoring tests: real tokenizers, real or random weights."""

import os
import sys
from pathlib import Path

import pytest
import tiny_models

from lib.models.folders import load

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

BUILDERS = {
    "words": tiny_models.word_model,
    "gpt2": tiny_models.gpt2_model,
    "smollm2": tiny_models.smollm2_model,
    "stories": lambda: load(tiny_models.mirror("stories260K")),
}


@pytest.fixture(scope="session")
def build():
    """Return a model by name, building each at most once a session."""
    built = {}
    return lambda name: built.get(name) or built.setdefault(name, BUILDERS[name]())


@pytest.fixture(params=["stories", "gpt2", "words"])
def model(request, build):
    return build(request.param)


@pytest.fixture
def words(build):
    return build("words")


@pytest.fixture
def stories(build):
    return build("stories")
