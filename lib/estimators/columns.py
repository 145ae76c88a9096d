"""Checks of the columns that an estimator is given."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lib.errors import InvalidValueError


class NotDefinedError(InvalidValueError):
    """A coefficient whose regressor never varies, such as b of a forecast never revised."""


def require(frame: pd.DataFrame, columns: Iterable[str], missing_allowed: bool = False) -> None:
    """Refuse a frame that is empty, lacks a column, or has missing values in one.

    Raises
    ------
    InvalidValueError
    """
    columns = tuple(columns)
    absent = [c for c in columns if c not in frame.columns]
    if absent:
        raise InvalidValueError(
            f"columns {', '.join(columns)}",
            f"no column {', '.join(absent)}",
            "fill the frame with a benchmark, a forecaster or a model before estimating",
        )
    if frame.empty:
        raise InvalidValueError("a frame with rows", "an empty one", "check the filter before it")
    gaps = frame[list(columns)].isna().sum()
    if gaps.any() and not missing_allowed:
        found = ", ".join(f"{n} in {c}" for c, n in gaps.items() if n)
        raise InvalidValueError(
            "no missing values",
            f"missing: {found}",
            "report the share of items without a forecast, then drop or bound them on purpose",
        )


def numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Column as finite floats.

    Raises
    ------
    InvalidValueError
        Text, or infinite values.
    """
    try:
        values = frame[column].to_numpy(dtype=float)
    except (TypeError, ValueError) as problem:
        raise InvalidValueError(
            f"numbers in column {column}", str(problem), "convert the column to float"
        ) from problem
    if not np.isfinite(values).all():
        raise InvalidValueError(
            f"finite numbers in column {column}",
            f"{int((~np.isfinite(values)).sum())} infinite or missing",
            "find the forecast that diverged; drop or bound it on purpose",
        )
    return values
