"""Skips tests whose public data this machine does not have."""

import os
from pathlib import Path

import pytest


def mirror() -> Path:
    """The data mirror; a folder that does not exist where none is named."""
    return Path(os.environ.get("DEBIAS_DATA_MIRROR") or "no-mirror")


def needs(*datasets: str) -> pytest.MarkDecorator:
    """Mark that skips without these folders of the mirror."""
    missing = [name for name in datasets if not (mirror() / name).is_dir()]
    reason = f"needs {', '.join(missing)} under DEBIAS_DATA_MIRROR"
    return pytest.mark.skipif(bool(missing), reason=reason)
