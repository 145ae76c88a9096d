"""The axes of the study, in the order of its tables. A new one is its import and its line.

Every axis of one model in one tidy table: the side effects at a glance.

Every axis for every model: what an intervention did to all that it was not about.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lib.measures.axis import Axis, measured
from lib.measures.overreaction import Overreaction
from lib.measures.pronouns import Pronouns
from lib.measures.safety import Safety
from lib.measures.toxicity import Toxicity
from lib.measures.utility import Utility
from lib.models.folders import LoadedModel, load
from lib.statistics.estimate import measure_table, rows
from lib.statistics.pooling import pool_tables
from lib.study.workers import Run, side_by_side

if TYPE_CHECKING:
    from lib.study.notebook import Study
    from lib.study.profiles import Profile


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


def side_effects(model: LoadedModel, profile: "Profile", seed: int) -> pd.DataFrame:
    """Measure every axis of the registry.

    Parameters
    ----------
    seed : int
        Training seed of the model; it only labels the rows of the item frames.

    Returns
    -------
    DataFrame
        As `metric_table`.
    """
    return metric_table({
        name: measured(axis, model, axis.items(profile), seed) for name, axis in AXES.items()
    })


def metric_table(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Metrics of item frames, one frame an axis.

    Returns
    -------
    DataFrame
        Columns metric, condition, value, low, high, n, then the rest of `Measure`; one row each.
    """
    return measure_table(
        measure for name, frame in frames.items() for measure in AXES[name].summarise(frame)
    )


def effects(study: "Study", folder: Path, seed: int | None = None) -> pd.DataFrame:
    """Metric table of a model on every axis; the item frames are cached in the run's store.

    Parameters
    ----------
    seed : int, optional
        Training seed of the model, for its rows; the run's own by default.

    Returns
    -------
    DataFrame
        As `lib.measures.effects.metric_table`.
    """
    return _tables(study, [(folder, study.seed if seed is None else seed)])[0]


def effect_rows(study: "Study", arms: Mapping[str, Mapping[int, Path]]) -> pd.DataFrame:
    """Exhibit rows: `effects` of each arm's training seeds, pooled (`lib.statistics.pooling`).

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


def _tables(study: "Study", models: list[tuple[Path, int]]) -> list[pd.DataFrame]:
    """One metric table a model; models are measured side by side."""
    items = {name: axis.items(study.profile) for name, axis in AXES.items()}

    def measure(model: tuple[Path, int], run: Run) -> pd.DataFrame:
        return metric_table({name: _axis_frame(study, items[name], name, *model, run)
                             for name in AXES})

    return side_by_side(measure, models, study.profile.workers)


def _axis_frame(
    study: "Study", items: pd.DataFrame, name: str, folder: Path, seed: int, run: Run
) -> pd.DataFrame:
    content = items.to_json(orient="split", double_precision=15).encode()
    inputs = {"model": folder, "items": hashlib.sha256(content).hexdigest(), "seed": seed}

    # As a wrapper of `score` it is keyed by the axis's module: other axes do not matter to it.
    @wraps(AXES[name].score)
    def make() -> pd.DataFrame:
        return run(_measured, name, folder, items, seed)

    return study.store.frame(name, inputs, make)


def _measured(name: str, folder: Path, items: pd.DataFrame, seed: int) -> pd.DataFrame:
    return measured(AXES[name], _model(folder), items, seed)


@lru_cache(maxsize=1)
def _model(folder: Path) -> LoadedModel:
    """The last model loaded: a model's axes come one after the other."""
    return load(folder)
