"""A mean of independent values as an `Estimate`."""

import numpy as np
from numpy.typing import ArrayLike

from lib.statistics.estimate import Estimate, t_interval


def mean(name: str, values: ArrayLike, method: str = "", n: int | None = None) -> Estimate:
    """``mean -+ t(k - 1) sd / sqrt(k)`` of k values; `n` says how many rows are behind them."""
    values = np.asarray(values, dtype=float)
    k, value = len(values), float(values.mean())
    se = float(values.std(ddof=1) / np.sqrt(k))
    told = ", ".join(part for part in (method, f"t({k - 1})") if part)
    return Estimate(name, value, se, *t_interval(value, se, k - 1), k if n is None else n, k, told,
                    k - 1.0)
