"""The one result type of the study, and how results become a table."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

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
