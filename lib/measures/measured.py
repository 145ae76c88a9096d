"""Many models measured side by side, each measurement an artefact of its own."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lib.models.folders import LoadedModel, load
from lib.study.workers import Run, side_by_side

if TYPE_CHECKING:
    from lib.study.notebook import Study


Score = Callable[..., pd.DataFrame]
"""``score(model, *arguments)``: an item frame; at the top of a module, so that it can travel to
another process. Not of `lib.chapters`: editing a table would ask all models again."""


def model_frames(
    study: "Study", name: str, folders: Iterable[Path], score: Score, *arguments: Any
) -> list[pd.DataFrame]:
    """Each model's `model_frame`, in order; those that are missing are measured side by side."""

    def measure(folder: Path, run: Run) -> pd.DataFrame:
        return model_frame(study, name, folder, run, score, *arguments)

    return side_by_side(measure, list(folders), study.profile.workers)


def model_frame(
    study: "Study", name: str, folder: Path, run: Run, score: Score, *arguments: Any
) -> pd.DataFrame:
    """``score(model, *arguments)`` from the run's store, where `run` has put it if it was missing.

    It is found again by the model, by the arguments' content, and by the module of `score` with
    all that it imports.
    """
    parts = (*getattr(score, "args", ()), *arguments)
    given = [study.store.digest(part) for part in parts]
    inputs = {"model": folder, "arguments": given}
    return study.store.frame(name, inputs, partial(asked, score, folder, *arguments), run)


def asked(score: Score, folder: Path, *arguments: Any) -> pd.DataFrame:
    """The function that is run."""
    return score(_model(folder), *arguments)


@lru_cache(maxsize=1)
def _model(folder: Path) -> LoadedModel:
    """The last model loaded: it is often asked for several things in a row."""
    return load(folder)


def regrouped(
    arms: Mapping[Any, Iterable[Path]], measure: Callable[[list[Path]], list[Any]]
) -> dict[Any, list[Any]]:
    """Apply `measure` to the folders of all arms at once, and hand each arm its own results."""
    folders = {arm: list(several) for arm, several in arms.items()}
    found = iter(measure([folder for several in folders.values() for folder in several]))
    return {arm: [next(found) for _ in several] for arm, several in folders.items()}
