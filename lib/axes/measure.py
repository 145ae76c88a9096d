"""A metric of one model under one condition; a list of them is a table, and back."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from lib.estimators import Estimate, to_frame

COLUMNS = ["metric", "condition", "value", "low", "high", "n"]
"""First columns of a metric table; ``se, df, clusters, method, least, most`` follow."""


@dataclass(frozen=True)
class Measure(Estimate):
    """An `Estimate` and what it is an estimate of.

    Attributes
    ----------
    condition : str
        Which items, or which way of measuring: one metric has a row for each.
    least, most : float
        Range of the values that the metric can take: 0 to 1 for a share, 1 to infinity for a
        perplexity. No interval leaves it.
    """

    condition: str = ""
    least: float = -np.inf
    most: float = np.inf

    @classmethod
    def of(
        cls, estimate: Estimate, condition: str, least: float = -np.inf, most: float = np.inf
    ) -> Self:
        """Attach a condition, and a range that the interval is cut to."""
        cut = {end: float(np.clip(getattr(estimate, end), least, most)) for end in ("low", "high")}
        given = {"condition": condition, "least": least, "most": most}
        return cls(**vars(estimate) | cut | given)

    @classmethod
    def share(cls, estimate: Estimate, condition: str) -> Self:
        """A measure between 0 and 1."""
        return cls.of(estimate, condition, 0.0, 1.0)


def measure_table(measures: Iterable[Measure]) -> pd.DataFrame:
    """One row a measure; column ``metric`` holds its name."""
    table = to_frame(measures).rename(columns={"name": "metric"})
    return table[COLUMNS + [name for name in table if name not in COLUMNS]]


def table_measures(table: pd.DataFrame) -> list[Measure]:
    """The measures of a metric table, in its order."""
    records = table.rename(columns={"metric": "name"}).to_dict("records")
    return [Measure(**record) for record in records]
