"""The session's tiny base model of the planted world, and the style of figures."""

import os
import sys
from pathlib import Path

import pytest
import world_models

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture(autouse=True)
def planted_world(monkeypatch):
    """Whatever study a test opens, the next one is in the planted world again."""
    monkeypatch.setenv("STUDY_WORLD", "")


@pytest.fixture(scope="session")
def profile():
    return world_models.tiny_profile()


@pytest.fixture(scope="session")
def base():
    return world_models.tiny_base()


@pytest.fixture(scope="session")
def model():
    return world_models.tiny_model()


@pytest.fixture
def page_style():
    """The workbook's style, without a window; whatever a test draws is closed after it."""
    import matplotlib.pyplot as plt

    from lib.plots.style import use_style

    plt.switch_backend("Agg")
    with plt.rc_context():
        use_style()
        yield
        plt.close("all")
