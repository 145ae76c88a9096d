"""Every axis for every model: what an intervention did to all that it was not about."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lib.measures import overreaction, pronouns, safety, toxicity, utility
from lib.measures.axis import Axis
from lib.measures.measured import by_arm, everyone, model_frame, run_table
from lib.statistics.estimate import measure_table
from lib.study import workers
from lib.study.design import Run
from lib.study.workers import side_by_side

if TYPE_CHECKING:
    from lib.study.notebook import Study


AXES: dict[str, Axis] = {
    axis.name: axis
    for axis in (overreaction.AXIS, pronouns.AXIS, safety.AXIS, toxicity.AXIS, utility.AXIS)
}
"""In the order of the tables."""

Way = tuple[str, str]
"""``start`` and ``format`` of a model (`lib.measures.axis`): how it is asked."""


def effect_rows(study: "Study", arms: Mapping[str, Mapping[Run, Path]]) -> pd.DataFrame:
    """Run table: every axis of each arm and run, to be summed up over bases.

    Item frames are kept in the run's store. Warns of arms whose models are asked in other ways.

    Parameters
    ----------
    arms : mapping
        Arm to run to model folder.
    """
    found = by_arm(arms, _tables(study, everyone(arms)))
    _warn_of_other_ways((arm, way) for arm, several in found.items()
                        for _, way in several.values())
    return run_table(found, lambda measured: measured[0])


def _warn_of_other_ways(asked: Iterable[tuple[str, Way]]) -> None:
    """Say once where an arm's model is asked in another way than the first."""
    (first, way), *others = asked
    for arm, other in others:
        if other != way:
            told = " while ".join(f"{name} starts a text with {start} and chats by {chat}"
                                  for name, (start, chat) in ((first, way), (arm, other)))
            warnings.warn(f"{told}: a difference between them may be due to that", stacklevel=3)
            return


def metric_table(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a metric of item frames, one frame an axis, with the columns of `Measure`."""
    return measure_table(
        measure for name, frame in frames.items() for measure in AXES[name].summarise(frame)
    )


def effect_frames(study: "Study", folders: Iterable[Path]) -> list[dict[str, pd.DataFrame]]:
    """Every axis's item frame of each model, by axis; found where `effect_rows` measured it."""
    return side_by_side(_measuring(study), list(folders), study.profile.workers)


def _measuring(study: "Study") -> Callable[[Path, workers.Run], dict[str, pd.DataFrame]]:
    items = {name: axis.items(study.profile) for name, axis in AXES.items()}

    def measure(folder: Path, run: workers.Run) -> dict[str, pd.DataFrame]:
        # Each axis's own method: other axes do not matter to its key.
        return {name: model_frame(study, name, folder, run, axis.measured, items[name])
                for name, axis in AXES.items()}

    return measure


def _tables(study: "Study", models: list[Path]) -> list[tuple[pd.DataFrame, Way]]:
    """One metric table a model, and how it is asked; models are measured side by side."""
    measure = _measuring(study)

    def summed_up(folder: Path, run: workers.Run) -> tuple[pd.DataFrame, Way]:
        frames = measure(folder, run)
        start, chat = next(iter(frames.values())).loc[0, ["start", "format"]]
        return metric_table(frames), (start, chat)

    return side_by_side(summed_up, models, study.profile.workers)
