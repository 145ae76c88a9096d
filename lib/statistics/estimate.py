"""The one result type of the study, and how results become a table."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import pandas as pd
from scipy import stats

COLUMNS = ["metric", "condition", "value", "low", "high", "n"]
"""First columns of a metric table; ``se, df, clusters, method, least, most`` follow."""


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty."""

    name: str
    value: float
    se: float
    low: float  # 95 % interval
    high: float
    n: int  # rows used
    clusters: int  # independent groups among them
    method: str  # such as ``ols, cluster by series, t(39)``
    df: float = np.inf  # of t behind interval and p-value; NaN by resampling

    def pvalue(self, null: float = 0.0) -> float:
        """Two-sided p-value of ``value = null`` from ``t(df)``."""
        if self.se == 0:  # nothing varies: the value is the null, or certainly not
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


@dataclass(frozen=True)
class Measure(Estimate):
    """An `Estimate` for a condition (which items, or which way of measuring), within a range."""

    condition: str = ""
    least: float = -np.inf  # as 0 for a share, 1 for a perplexity; no interval leaves the range
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


def t_interval(value: float, se: float, df: float) -> tuple[float, float]:
    """95 % interval ``value -+ t_{.975}(df) se``."""
    half = stats.t.ppf(0.975, df) * se
    return float(value - half), float(value + half)


def minimum_detectable(se: float, df: float = np.inf, power: float = 0.8) -> float:
    """Smallest true effect found with probability ``power`` by a two-sided test at 5 %.

    ``(t_{.975}(df) + t_{power}(df)) se``; 2.8 standard errors for the defaults. Of an error known
    before the results, else it is the p-value told in other words.
    """
    return float((stats.t.ppf(0.975, df) + stats.t.ppf(power, df)) * se)


def measure_table(measures: Iterable[Measure]) -> pd.DataFrame:
    """One row a measure; column ``metric`` holds its name."""
    table = pd.DataFrame([asdict(m) for m in measures]).rename(columns={"name": "metric"})
    return table[COLUMNS + [name for name in table if name not in COLUMNS]]


def rows(frame: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Rows of an exhibit: one arm's estimates, from `by_condition` or a metric table."""
    tidy = frame.rename(columns={"rho": "condition", "name": "metric"})
    tidy = tidy.assign(arm=[arm] * len(tidy), bases="", runs="")  # an arm may be a pair
    return tidy[["arm", "condition", "metric", "value", "low", "high", "n", "bases", "runs"]]


def row(estimate: Estimate, arm: str, condition: object) -> pd.DataFrame:
    """One estimate as a row of an exhibit that no run of a model lies behind."""
    return rows(pd.DataFrame([{"name": estimate.name, "rho": condition, "value": estimate.value,
                               "low": estimate.low, "high": estimate.high, "n": estimate.n}]), arm)


def interval_table(
    table: pd.DataFrame, rows: str = "condition", columns: str = "arm", digits: int = 2
) -> pd.DataFrame:
    """Exhibit rows to read: ``0.45 [0.41, 0.49]`` by condition and arm, in their order."""
    found = table[["value", "low", "high"]].astype(float).round(digits) + 0.0  # no -0.00
    told = ["" if value != value else f"{value:.{digits}f}" if low != low
            else f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
            for value, low, high in found.itertuples(index=False)]
    wide = table.assign(told=told).pivot(index=rows, columns=columns, values="told")
    return wide.loc[table[rows].unique(), table[columns].unique()].fillna("")
