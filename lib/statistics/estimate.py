"""The one result type of the study, and how results become a table.

A metric of one model under one condition; a list of them is a table, and back.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy import stats


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty.

    Attributes
    ----------
    name : str
        Metric name, e.g. ``implied_persistence``.
    value, se : float
        Point estimate and standard error.
    low, high : float
        95 % interval.
    n, clusters : int
        Rows used, and independent groups among them.
    method : str
        How value and error were computed, e.g. ``ols, cluster by series, t(39)``.
    df : float
        Degrees of freedom of the t distribution behind interval and p-value; infinite for a
        normal one, NaN for an interval by resampling.
    """

    name: str
    value: float
    se: float
    low: float
    high: float
    n: int
    clusters: int
    method: str
    df: float = np.inf

    def pvalue(self, null: float = 0.0) -> float:
        """Two-sided p-value of ``value = null`` from ``t(df)``.

        Where nothing varies (no error), the value is either the null, or certainly not.
        """
        if self.se == 0:
            return float(self.value == null)
        return float(2 * stats.t.sf(abs(self.value - null) / self.se, self.df))

    def covers(self, truth: float) -> bool:
        """Whether the interval holds ``truth``."""
        return bool(self.low <= truth <= self.high)

    def __format__(self, spec: str) -> str:
        """``f"{estimate:.2f}"`` reads ``0.45 [0.41, 0.49]``."""
        if not spec:
            return str(self)
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def t_interval(value: float, se: float, df: float, level: float = 0.95) -> tuple[float, float]:
    """``value -+ t_{(1 + level) / 2}(df) se``."""
    half = stats.t.ppf((1 + level) / 2, df) * se
    return float(value - half), float(value + half)


def to_frame(estimates: Iterable[Estimate], **columns: Any) -> pd.DataFrame:
    """One row an estimate, ``columns`` (a constant, or one value each) in front."""
    table = pd.DataFrame([asdict(e) for e in estimates])
    for position, (name, value) in enumerate(columns.items()):
        table.insert(position, name, value)
    return table

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


def rows(frame: pd.DataFrame, arm: str, seeds: int = 1) -> pd.DataFrame:
    """Rows of an exhibit: one arm's estimates, from `by_condition` or `effects`."""
    tidy = frame.rename(columns={"rho": "condition", "name": "metric"})
    tidy = tidy.assign(arm=[arm] * len(tidy), seeds=seeds)  # an arm may be a pair
    return tidy[["arm", "condition", "metric", "value", "low", "high", "n", "seeds"]]


def row(estimate: Estimate, arm: str, condition: object, seeds: int = 1) -> pd.DataFrame:
    """One estimate as a row of an exhibit."""
    return rows(pd.DataFrame([{"name": estimate.name, "rho": condition, "value": estimate.value,
                               "low": estimate.low, "high": estimate.high, "n": estimate.n}]),
                arm, seeds)
