"""What an axis is: items out of a profile, scored by a model, summed up with intervals.

A new axis is one new file that ends in an `Axis`, as `lib.measures.utility` does, and its place in
`lib.measures.effects`. Its items hold text, so that every model can be asked. The columns that
every item frame shares:

============  ===========================================================================
``model``     first twelve characters of the fingerprint of the model's weights
``start``     token that stands before running text: scores of sentences hang on it
``format``    how a chat is written for the model: its template, or a transcript
``axis``      name of the axis
``benchmark``  group of items within the axis
``item``      identifier, unique within axis and benchmark
``cluster``   what items have in common; intervals treat clusters as independent
============  ===========================================================================
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from lib.errors import require
from lib.models.chat import start_id
from lib.models.folders import LoadedModel
from lib.models.template import format_name
from lib.statistics.estimate import Measure

if TYPE_CHECKING:
    from lib.study.profiles import Profile


SHARED = ["model", "start", "format", "axis", "benchmark", "item", "cluster"]


@dataclass(frozen=True)
class Axis:
    """One side of a model's behaviour: three functions at the top of a module."""

    name: str
    items: Callable[["Profile"], pd.DataFrame]
    """What every model is asked. Seeds belong in here: stored frames are found by their items."""
    score: Callable[[LoadedModel, pd.DataFrame], pd.DataFrame]
    """Item frame of a model's answers; nothing is averaged."""
    summarise: Callable[[pd.DataFrame], list[Measure]]
    """The metrics out of an item frame, intervals clustered over ``cluster``."""

    def measured(self, model: LoadedModel, items: pd.DataFrame) -> pd.DataFrame:
        """Score items, each of which has its own name, and put all shared columns in front."""
        frame = self.score(model, items).assign(
            model=model.fingerprint[:12], axis=self.name,
            start=model.tokenizer.convert_ids_to_tokens(start_id(model.tokenizer)),
            format=format_name(model.tokenizer),
        )
        missing = [name for name in SHARED if name not in frame]
        require(not missing and not frame.duplicated(["benchmark", "item"]).any(),
                f"an item frame with {', '.join(SHARED[-3:])}, each item once",
                f"no {', '.join(missing)}" if missing else "items that share a name",
                f"build the frame of axis {self.name} with item_frame")
        return frame[SHARED + [name for name in frame if name not in SHARED]]


def item_frame(axis: str, benchmark: str, item: list, cluster: list, **columns) -> pd.DataFrame:
    """One row per evaluated item: axis, benchmark, item, cluster, then the axis's own columns."""
    frame = pd.DataFrame({"item": item, "cluster": cluster, **columns})
    frame.insert(0, "axis", axis)
    frame.insert(1, "benchmark", benchmark)
    return frame
