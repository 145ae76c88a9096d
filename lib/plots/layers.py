"""What lies behind a value: every run as a small point, the reference's interval in grey."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lib.plots.style import GREY, PALE

LAYERS = VALUE, RUN, REFERENCE = "value", "run", "reference"
DOT = {"marker": "o", "markersize": 2.8, "markeredgewidth": 0, "alpha": 0.45, "linestyle": "none",
       "zorder": 1.6}
ARROW = {"marker": ">", "linestyle": "none", "markersize": 4, "zorder": 3}
BAR = {"color": PALE, "linewidth": 4.5, "zorder": 1.2}
GOLDEN = 0.618
"""Multiples of it, less whole numbers, are spread evenly, however many there are."""
FAR, ROOM, WORTH = 2.0, 0.15, 0.7
"""Whiskers reach `FAR` usual intervals beyond all values, and always `ROOM` of the values' range,
if that saves 30 % of an axis."""


def layered(
    frame: pd.DataFrame, runs: pd.DataFrame | None = None, reference: pd.DataFrame | None = None,
    by: Sequence[str] = ("condition",),
) -> pd.DataFrame:
    """The frame's rows, then those of runs and reference in the same cells; column ``layer``.

    A cell is an arm, a metric, what is in `by`, and all other text that both tables have.
    """
    text = [name for name in frame if any(isinstance(v, str) and v for v in frame[name])]
    parts = [frame.assign(layer=VALUE)]
    for layer, behind in ((RUN, runs), (REFERENCE, reference)):
        if behind is not None:
            names = [name for name in dict.fromkeys(["arm", "metric", *by, *text])
                     if name in frame and name in behind]
            own = frame[names].set_axis(_cells(frame[names])).groupby(level=0).first()
            known = behind[[cell in own.index for cell in _cells(behind[names])]]
            # Read from a file, 0.2 may be text: the frame's own labels are kept.
            labels = own.loc[_cells(known[names])].set_axis(known.index)
            parts.append(known.assign(layer=layer, **labels))
    return pd.concat(parts, ignore_index=True)


def _cells(table: pd.DataFrame) -> list[str]:
    """Each row as one text."""
    return ["\t".join(map(cell_text, row)) for row in table.itertuples(index=False)]


def cell_text(value: Any) -> str:
    """One text for a cell in memory, in a CSV file and in YAML: ``0``, ``0.2``, ``all``."""
    try:
        return "" if pd.isna(value) else f"{float(value) + 0.0:.6g}"
    except (TypeError, ValueError):
        return str(value)


def jitter(rows: pd.DataFrame) -> np.ndarray:
    """Between -1/2 and 1/2, the same for a base wherever it is drawn; 0 for what is no run."""
    if RUN not in set(rows["layer"]):
        return np.zeros(len(rows))
    base = rows["base"].astype(float)
    return np.where(rows["layer"] == RUN, (base * GOLDEN) % 1 - 0.5, 0.0)


def draw_behind(
    axes: Axes, rows: pd.DataFrame, places: np.ndarray, spread: np.ndarray, colour: str,
    upright: bool,
) -> None:
    """One arm's reference at its places, and its runs at places of their own."""
    run, reference = ((rows["layer"] == layer).to_numpy() for layer in (RUN, REFERENCE))
    if reference.any():
        low, high = (rows.loc[reference, end].astype(float) for end in ("low", "high"))
        (axes.vlines if upright else axes.hlines)(places[reference], low, high, **BAR)
    if run.any():
        value = rows.loc[run, "value"]
        axes.plot(*((spread[run], value) if upright else (value, spread[run])), color=colour, **DOT)


def explain(axes: Axes, rows: pd.DataFrame) -> None:
    """Entries of the legend for what lies behind, and for `arrows`."""
    for layer, label, look in ((RUN, "one run", DOT | {"color": GREY, "alpha": 1.0}),
                               (REFERENCE, "reference, 95 %", BAR)):
        if layer in set(rows["layer"]):
            axes.plot([], [], label=label, **look)
    if any(not line.get_clip_on() for line in axes.lines):
        axes.plot([], [], color=GREY, label="beyond the axis", **ARROW)


def bulk(rows: pd.DataFrame) -> tuple[float, float] | None:
    """Limits that hold all values, not the ends of intervals far beyond; None if all have room.

    Shares always have room: an interval from 0 to 1 says most when it is seen in full.
    """
    numbers = rows[["value", "low", "high"]].apply(pd.to_numeric)
    own = numbers[rows["layer"] == VALUE]
    width = own["high"] - own["low"]
    value, least, most = own["value"], numbers.min().min(), numbers.max().max()
    reach = max(FAR * width[width > 0].median(), ROOM * (value.max() - value.min()))
    low, high = max(least, value.min() - reach), min(most, value.max() + reach)
    if (least > -0.001 and most < 1.001) or not high - low < WORTH * (most - least):
        return None
    return low, high


def arrows(
    axes: Axes, rows: pd.DataFrame, places: np.ndarray, limits: tuple[float, float], colour: str,
    upright: bool,
) -> None:
    """Limits for the axis of values; an arrow at each that a run or an interval goes beyond."""
    (axes.set_ylim if upright else axes.set_xlim)(*limits)
    numbers = rows[["value", "low", "high"]].apply(pd.to_numeric)
    beyond = numbers.min(axis=1) < limits[0], numbers.max(axis=1) > limits[1]
    for edge, over, marker in zip(limits, beyond, "v^" if upright else "<>", strict=True):
        at = places[(over & (rows["layer"] != REFERENCE)).to_numpy()]
        ends = [edge] * len(at)
        if len(at):  # a line without points would count as one in the figure's corner
            axes.plot(*((at, ends) if upright else (ends, at)), color=colour, clip_on=False,
                      **ARROW | {"marker": marker})


def padded(low: float, high: float) -> tuple[float, float]:
    """Limits with a margin, on which an arrow has room."""
    return low - 0.05 * (high - low), high + 0.05 * (high - low)
