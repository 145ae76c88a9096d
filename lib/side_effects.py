"""Every axis for every model: what an intervention did to all that it was not about."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lib.axes.items import measured
from lib.axes.registry import AXES
from lib.axes.report import metric_table
from lib.axes.seeds import pool_tables
from lib.models import LoadedModel, load
from lib.panels import rows
from lib.workers import Run, side_by_side

if TYPE_CHECKING:
    from lib.study import Study


def effects(study: "Study", folder: Path, seed: int | None = None) -> pd.DataFrame:
    """Metric table of a model on every axis; the item frames are cached in the run's store.

    Parameters
    ----------
    seed : int, optional
        Training seed of the model, for its rows; the run's own by default.

    Returns
    -------
    DataFrame
        As `lib.axes.report.metric_table`.
    """
    return _tables(study, [(folder, study.seed if seed is None else seed)])[0]


def effect_rows(study: "Study", arms: Mapping[str, Mapping[int, Path]]) -> pd.DataFrame:
    """Exhibit rows: `effects` of each arm's training seeds, pooled (`lib.axes.seeds`).

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
