"""Every axis of one model in one tidy table: the side effects at a glance."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from lib.axes.items import measured
from lib.axes.measure import measure_table
from lib.axes.registry import AXES
from lib.models import LoadedModel

if TYPE_CHECKING:
    from lib.profiles import Profile


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
