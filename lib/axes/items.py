"""The columns that every item frame shares.

============  ===========================================================================
``model``     first twelve characters of the fingerprint of the model's weights
``seed``      training seed of the model; the run's own for a base model
``axis``      name of the axis
``benchmark``  group of items within the axis
``item``      identifier, unique within axis and benchmark
``cluster``   what items have in common; intervals treat clusters as independent
============  ===========================================================================
"""

from typing import TYPE_CHECKING

import pandas as pd

from lib.errors import InvalidValueError
from lib.models import LoadedModel

if TYPE_CHECKING:
    from lib.axes.axis import Axis

SHARED = ["model", "seed", "axis", "benchmark", "item", "cluster"]


def item_frame(axis: str, benchmark: str, item: list, cluster: list, **columns) -> pd.DataFrame:
    """One row per evaluated item: axis, benchmark, item, cluster, then the axis's own columns.

    Nothing is averaged here. Intervals downstream resample or cluster these rows.
    """
    frame = pd.DataFrame({"item": item, "cluster": cluster, **columns})
    frame.insert(0, "axis", axis)
    frame.insert(1, "benchmark", benchmark)
    return frame


def measured(axis: "Axis", model: LoadedModel, items: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Score items and put all shared columns in front.

    Raises
    ------
    InvalidValueError
        The axis left out a shared column, or gave two rows of a benchmark one name.
    """
    frame = axis.score(model, items).assign(
        model=model.fingerprint[:12], seed=seed, axis=axis.name
    )
    missing = [name for name in SHARED if name not in frame]
    if missing or frame.duplicated(["benchmark", "item"]).any():
        raise InvalidValueError(
            f"an item frame with {', '.join(SHARED[3:])}, each item once",
            f"no {', '.join(missing)}" if missing else "items that share a name",
            f"build the frame of axis {axis.name} with item_frame",
        )
    return frame[SHARED + [name for name in frame if name not in SHARED]]
