"""Sign and scale: items whose rational answer is known to move with them.

A rational forecaster of an AR(1) is equivariant: show ``c + k (x - c)`` in place of x and its
forecast becomes ``c + k (F - c)``. A model that has memorised a level, a spread or a direction is
not, and the gap needs no benchmark at all.
"""

import numpy as np
import pandas as pd

from lib.errors import InvalidValueError
from lib.forecasting.frames import shown

CENTRE = 100.0
"""Centre of the display scale: the fixed point of every map."""


def affine(
    frame: pd.DataFrame, factor: float, centre: float = CENTRE, low: int = 0, high: int = 199
) -> pd.DataFrame:
    """Items with every number x replaced by ``centre + factor (x - centre)``.

    ``factor = -1`` flips the sign (``200 - x``), ``factor = 2`` doubles the scale. Columns
    ``factor`` and ``centre`` record the map; ``mu`` and ``sigma`` move with it, rho does not.
    Forecasts are not carried along: they are what is being tested.

    Raises
    ------
    InvalidValueError
        A map under which a number is no integer of ``[low, high]`` any more: rounding or
        clipping would break the exact correspondence.
    """

    def move(values: np.ndarray) -> np.ndarray:
        return centre + factor * (np.asarray(values, dtype=float) - centre)

    columns = ("history", "previous_history")
    moved = {c: _integers(move(shown(frame, c)), low, high) for c in columns}
    return frame.drop(columns=["forecast", "previous_forecast"], errors="ignore").assign(
        **{c: windows.tolist() for c, windows in moved.items()},
        x=moved["history"][:, -1],
        outcome=_integers(move(frame["outcome"]), low, high),
        mu=move(frame["mu"]),
        sigma=abs(factor) * frame["sigma"],
        factor=float(factor),
        centre=float(centre),
    )


def equivariance_gap(frame: pd.DataFrame, transformed: pd.DataFrame) -> pd.DataFrame:
    """Forecasts of transformed items, mapped back, less those of the items themselves.

    ``gap = c + (F' - c) / k - F`` in the units of ``frame``: zero for an equivariant forecaster.
    Nothing is averaged. Its mean is a pull towards a level or a direction, its mean square the
    size of the failure; set it beside ``Var(F)``. Cluster by ``series``.

    Parameters
    ----------
    frame, transformed : DataFrame
        Both with ``forecast``; the second from `affine` of the first, in any order of rows.

    Returns
    -------
    DataFrame
        ``series, t, rho, x, forecast, gap``, one row an item, in the order of ``frame``.

    Raises
    ------
    InvalidValueError
        Frames that are not the same items.
    """
    keys = ["series", "t"]
    moved = transformed[[*keys, "factor", "centre", "forecast", "x"]]
    both = frame[[*keys, "rho", "x", "forecast"]].merge(
        moved, on=keys, how="left", suffixes=("", "_moved"), validate="one_to_one"
    )
    back = {c: both["centre"] + (both[f"{c}_moved"] - both["centre"]) / both["factor"]
            for c in ("x", "forecast")}
    if len(frame) != len(transformed) or not np.allclose(back["x"], both["x"]):
        raise InvalidValueError(
            "the same items twice, the second time transformed",
            f"{len(frame)} and {len(transformed)} rows whose numbers do not correspond",
            "build the second frame with `affine` from the first",
        )
    gap = (back["forecast"] - both["forecast"]).to_numpy()
    return both[[*keys, "rho", "x", "forecast"]].assign(gap=gap).set_index(frame.index)


def _integers(values: np.ndarray, low: int, high: int) -> np.ndarray:
    rounded = np.rint(values)
    if not (np.allclose(values, rounded) and (rounded >= low).all() and (rounded <= high).all()):
        raise InvalidValueError(
            f"integers within {low}..{high} after the map",
            f"values from {values.min():g} to {values.max():g}",
            "draw the items on a narrower scale (`low`, `high`), or map by an integer factor",
        )
    return rounded.astype(int)
