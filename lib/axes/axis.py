"""What an axis is: items out of a profile, scored by a model, summed up with intervals.

A new axis is one new file with a class like `lib.axes.safety.Safety`, and its line in
`lib.axes.registry`; tables, scorecard and gate then contain it.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import pandas as pd

from lib.axes.measure import Measure
from lib.models import LoadedModel

if TYPE_CHECKING:
    from lib.profiles import Profile


class Axis(ABC):
    """One side of a model's behaviour.

    Attributes
    ----------
    name : str
        Also the name of its item frames in the store.
    """

    name: str

    @abstractmethod
    def items(self, profile: "Profile") -> pd.DataFrame:
        """What a model is asked, one row an item; the same for every model of a profile.

        All that varies between runs belongs in here, seeds included: stored item frames are found
        again by the content of their items.
        """

    @abstractmethod
    def score(self, model: LoadedModel, items: pd.DataFrame) -> pd.DataFrame:
        """Item frame (`lib.axes.items`) of the model's answers; nothing is averaged."""

    @abstractmethod
    def summarise(self, frame: pd.DataFrame) -> list[Measure]:
        """The axis's metrics out of its item frame, intervals clustered over ``cluster``."""
