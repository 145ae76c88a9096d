"""What is run to measure a model: a score of it, and of whatever the score is given.

Alone in its module, as a frame is found again by the code that is run for it: a change of how
tables are made of frames asks no model again.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from lib.models.folders import LoadedModel, load_merged

Score = Callable[..., pd.DataFrame]
"""``score(model, *arguments)``; not of `lib.chapters`: editing a table would ask models again."""


def asked(score: Score, folder: Path, *arguments: Any) -> pd.DataFrame:
    """The score of the model in a folder."""
    return score(_model(folder), *arguments)


@lru_cache(maxsize=1)
def _model(folder: Path) -> LoadedModel:
    """The last model loaded: it is often asked for several things in a row."""
    return load_merged(folder)
