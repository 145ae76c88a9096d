"""A budget of side effects on one axis: every line's harm as a multiple of what it allows."""

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.plots.layers import ARROW
from lib.plots.style import GREY, PALETTE, legend, name_of, panels

FARTHEST = 4.0
"""Multiples of what is allowed, to either side; arrows say that there is more."""
LOOKS: dict[str, dict[str, Any]] = {
    "pass": {"color": PALETTE[0], "marker": "o"},
    "fail": {"color": PALETTE[1], "marker": "X"},
    "not enough evidence": {"color": GREY, "marker": "s", "markerfacecolor": "white"},
}
LIMIT = {"color": "#C00000", "linewidth": 1.2}
LETTERS = 26
"""Of a line's words beside the axis, before they are broken."""
COLUMNS = {"harm [limits]": 6, "allowed": 118}
"""What stands beside the axis, and how far from it, in points."""
ROOM, OFF = 0.45, 0.32
"""Of the axis beyond its ends, where arrows are; and from there to a value that is beyond."""


def margins(lines: pd.DataFrame) -> Figure:
    """Every line of a budget on one axis: 0 is no change, 1 the limit, and left is better.

    Bars reach from limit to limit of the harm, each one-sided; colour and marker are the verdict.

    Parameters
    ----------
    lines : DataFrame
        Columns says, value, low, high, allowed, verdict, as `lib.measures.budget.decide` gives
        them; with a column arm, a panel each.
    """
    groups = lines.groupby("arm", sort=False) if "arm" in lines else [("", lines)]
    most = max(len(rows) for _, rows in groups)
    figure, drawn = panels(groups, 1, 0.55 + 0.3 * most)
    ends = _ends(lines)
    for axes, name, rows in drawn:
        _panel(axes, rows, ends)
        axes.set_title(name_of(name), loc="center", parse_math=False)
    drawn[-1][0].set_xlabel("Harm / what is allowed")
    if any(line.get_marker() in ("<", ">") for axes in figure.axes for line in axes.lines):
        figure.axes[0].plot([], [], color=GREY, label="beyond the axis", **ARROW)
    legend(figure, "lower center")
    return figure


def digits(value: float, sign: str = "") -> str:
    """Three decimals, and fewer of what is large; ``+`` as `sign` shows the direction."""
    if abs(value) >= 1e5:
        return f"{value:{sign}.1e}"
    places = 3 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{round(value, places) + 0.0:{sign}.{places}f}"  # -0.0004 is +0.000


def _ends(lines: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis: all that is there, no change and the limit, and nothing too far away."""
    of_allowed = lines[["low", "high"]].div(lines["allowed"], axis=0)
    low, high = min(of_allowed["low"].min(), -0.5), max(of_allowed["high"].max(), 1.5)
    return max(low, -FARTHEST), min(high, FARTHEST)


def _panel(axes: Axes, rows: pd.DataFrame, ends: tuple[float, float]) -> None:
    """One model's lines, from the top down."""
    axes.axvline(0, color=GREY, linewidth=1)
    axes.axvline(1, label="limit of the budget", **LIMIT)
    _beside(axes, -0.8, *COLUMNS, color=GREY)
    for at, row in enumerate(rows.itertuples()):
        _bar(axes, at, np.array([row.low, row.value, row.high]) / row.allowed, ends, row.verdict)
        value, low, high = (digits(number, "+") for number in (row.value, row.low, row.high))
        _beside(axes, at, f"{value} [{low}, {high}]", digits(row.allowed))
    told = ["\n".join(textwrap.wrap(words, LETTERS)) for words in rows["says"]]
    axes.set(ylim=(len(rows) - 0.4, -0.6), yticks=range(len(rows)), yticklabels=told,
             xlim=(ends[0] - ROOM, ends[1] + ROOM))
    axes.tick_params(axis="y", length=0)


def _bar(
    axes: Axes, at: int, harm: np.ndarray, ends: tuple[float, float], verdict: str
) -> None:
    """Limits and value of one line of the page; an arrow where one of them is off it."""
    look = LOOKS[verdict]
    axes.hlines(at, *np.clip(harm[[0, 2]], *ends), color=look["color"], linewidth=3.5, alpha=0.5)
    arrow = ARROW | {"color": look["color"]}
    if harm[0] < ends[0]:
        axes.plot(ends[0] - OFF, at, **arrow | {"marker": "<"})
    if harm[2] > ends[1]:
        axes.plot(ends[1] + OFF, at, **arrow)
    axes.plot(np.clip(harm[1], *ends), at, linestyle="none", markersize=6, label=verdict, **look)


def _beside(axes: Axes, at: float, *texts: str, color: str = "black") -> None:
    """Texts of one line of the page, in their `COLUMNS` at the right of the axis."""
    for text, far in zip(texts, COLUMNS.values(), strict=True):
        axes.annotate(text, (1, at), (far, 0), xycoords=("axes fraction", "data"),
                      textcoords="offset points", va="center", fontsize=7.5, color=color,
                      annotation_clip=False, parse_math=False)
