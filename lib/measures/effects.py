"""The axes of the study, and every axis for every model: what an intervention did to all that it
was not about.

A new axis is its import and its line in `AXES`.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lib.measures.axis import Axis, measured
from lib.measures.measured import model_frame
from lib.measures.overreaction import Overreaction
from lib.measures.pronouns import Pronouns
from lib.measures.safety import Safety
from lib.measures.toxicity import Toxicity
from lib.measures.utility import Utility
from lib.statistics.estimate import measure_table, rows
from lib.statistics.pooling import pool_tables
from lib.study.workers import Run, side_by_side

if TYPE_CHECKING:
    from lib.study.notebook import Study


AXES: dict[str, Axis] = {
    axis.name: axis
    for axis in (
        Overreaction(),
        Pronouns(),
        Safety(),
        Toxicity(),
        Utility(),
    )
}
"""In the order of the tables."""


def effect_rows(study: "Study", arms: Mapping[str, Mapping[int, Path]]) -> pd.DataFrame:
    """Exhibit rows: every axis of each arm, its training seeds pooled (`lib.statistics.pooling`).

    Item frames are kept in the run's store.

    Parameters
    ----------
    arms : mapping
        Arm to training seed to model folder.
    """
    models = [(folder, seed) for several in arms.values() for seed, folder in several.items()]
    tables = iter(_tables(study, models))
    return pd.concat(
        [rows(pool_tables([next(tables) for _ in several]), arm, len(several))
         for arm, several in arms.items()], ignore_index=True)


def metric_table(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a metric of item frames, one frame an axis: metric, condition, value, low, high, n,
    then the rest of `Measure`."""
    return measure_table(
        measure for name, frame in frames.items() for measure in AXES[name].summarise(frame)
    )


def _tables(study: "Study", models: list[tuple[Path, int]]) -> list[pd.DataFrame]:
    """One metric table a model; models are measured side by side."""
    items = {name: axis.items(study.profile) for name, axis in AXES.items()}

    def measure(model: tuple[Path, int], run: Run) -> pd.DataFrame:
        folder, seed = model
        # A score of the axis's own: other axes do not matter to its key.
        return metric_table({
            name: model_frame(study, name, folder, run, partial(measured, axis), items[name], seed)
            for name, axis in AXES.items()})

    return side_by_side(measure, models, study.profile.workers)
