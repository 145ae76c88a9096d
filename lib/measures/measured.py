"""Many models measured side by side, each measurement an artefact of its own.

A frame is found again by the model, by the content of the arguments, and by the module of the
score with all that it imports.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lib.measures.asked import Score, asked
from lib.statistics.bases import all_run_rows
from lib.study import workers
from lib.study.design import Run
from lib.study.workers import side_by_side

if TYPE_CHECKING:
    from lib.study.notebook import Study


def model_frames(
    study: "Study", name: str, folders: Iterable[Path], score: Score, *arguments: Any
) -> list[pd.DataFrame]:
    """``score(model, *arguments)`` of each model, in order; what the store lacks side by side."""
    given = _digests(study, score, arguments)

    def measure(folder: Path, run: workers.Run) -> pd.DataFrame:
        return _stored(study, name, folder, run, given, score, arguments)

    return side_by_side(measure, list(folders), study.profile.workers)


def model_frame(
    study: "Study", name: str, folder: Path, run: workers.Run, score: Score, *arguments: Any
) -> pd.DataFrame:
    """The same of one model, measured by `run`: for work that is side by side in another way."""
    given = _digests(study, score, arguments)
    return _stored(study, name, folder, run, given, score, arguments)


def _digests(study: "Study", score: Score, arguments: Sequence[Any]) -> list[str]:
    return [study.store.digest(part) for part in (*getattr(score, "args", ()), *arguments)]


def _stored(
    study: "Study", name: str, folder: Path, run: workers.Run, given: list[str], score: Score,
    arguments: Sequence[Any],
) -> pd.DataFrame:
    inputs = {"model": folder, "arguments": given}
    return study.store.frame(name, inputs, partial(asked, score, folder, *arguments), run)


def everyone(arms: Mapping[Any, Mapping[Run, Path]]) -> list[Path]:
    """The models of all arms, to be asked at once."""
    return [folder for several in arms.values() for folder in several.values()]


def by_arm(
    arms: Mapping[Any, Mapping[Run, Path]], found: Iterable[Any]
) -> dict[Any, dict[Run, Any]]:
    """What was found of `everyone`, each arm and run with its own."""
    left = iter(found)
    return {arm: {run: next(left) for run in several} for arm, several in arms.items()}


def run_table(
    frames: Mapping[Any, Mapping[Run, Any]], table: Callable[[Any], pd.DataFrame]
) -> pd.DataFrame:
    """The metric tables of every arm's and run's item frame, as one run table."""
    return all_run_rows((table(frame), arm, *run) for arm, several in frames.items()
                        for run, frame in several.items())
