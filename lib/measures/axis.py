"""What an axis is: items out of a profile, scored by a model, summed up with intervals.

A new axis is one new file with a class like `lib.measures.safety.Safety`, and its line in
`lib.measures.effects`; tables, scorecard and gate then contain it. Its items hold text, so that
every model can be asked. The columns that every item frame shares:

============  ===========================================================================
``model``     first twelve characters of the fingerprint of the model's weights
``start``     token that stands before running text: scores of sentences hang on it
``format``    how a chat is written for the model: its template, or a transcript
``seed``      training seed of the model; the run's own for a base model
``axis``      name of the axis
``benchmark``  group of items within the axis
``item``      identifier, unique within axis and benchmark
``cluster``   what items have in common; intervals treat clusters as independent
============  ===========================================================================
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import pandas as pd

from lib.errors import InvalidValueError
from lib.models.chat import start_id
from lib.models.folders import LoadedModel
from lib.models.template import format_name
from lib.statistics.estimate import Measure

if TYPE_CHECKING:
    from lib.study.profiles import Profile


SHARED = ["model", "start", "format", "seed", "axis", "benchmark", "item", "cluster"]


class Axis(ABC):
    """One side of a model's behaviour; its name is also that of its frames in the store."""

    name: str

    @abstractmethod
    def items(self, profile: "Profile") -> pd.DataFrame:
        """What a model is asked, one row an item; the same for every model of a profile.

        All that varies between runs belongs in here, seeds included: stored item frames are found
        again by the content of their items.
        """

    @abstractmethod
    def score(self, model: LoadedModel, items: pd.DataFrame) -> pd.DataFrame:
        """Item frame (`lib.measures.axis`) of the model's answers; nothing is averaged."""

    @abstractmethod
    def summarise(self, frame: pd.DataFrame) -> list[Measure]:
        """The axis's metrics out of its item frame, intervals clustered over ``cluster``."""


def item_frame(axis: str, benchmark: str, item: list, cluster: list, **columns) -> pd.DataFrame:
    """One row per evaluated item: axis, benchmark, item, cluster, then the axis's own columns.

    Nothing is averaged here. Intervals downstream resample or cluster these rows.
    """
    frame = pd.DataFrame({"item": item, "cluster": cluster, **columns})
    frame.insert(0, "axis", axis)
    frame.insert(1, "benchmark", benchmark)
    return frame


def measured(axis: "Axis", model: LoadedModel, items: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Score items, each of which has its own name, and put all shared columns in front."""
    frame = axis.score(model, items).assign(
        model=model.fingerprint[:12], seed=seed, axis=axis.name,
        start=model.tokenizer.convert_ids_to_tokens(start_id(model.tokenizer)),
        format=format_name(model.tokenizer),
    )
    missing = [name for name in SHARED if name not in frame]
    if missing or frame.duplicated(["benchmark", "item"]).any():
        raise InvalidValueError(
            f"an item frame with {', '.join(SHARED[-3:])}, each item once",
            f"no {', '.join(missing)}" if missing else "items that share a name",
            f"build the frame of axis {axis.name} with item_frame",
        )
    return frame[SHARED + [name for name in frame if name not in SHARED]]
