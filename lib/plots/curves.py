"""What depends on a number, on time, on a second metric, or on two numbers at once."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.plots.intervals import intervals, whiskers
from lib.plots.style import (
    GREY,
    PALETTE,
    WIDTH,
    arms_of,
    label_of,
    legend,
    look_of,
    name_of,
    panels,
)

LINE, LETTER, RISE = 8.0, 4.2, 4.5
"""Height of a line and width of a letter of small print, and its rise above a mark; in points."""
SIDE_BY_SIDE = 6
"""Most doses whose labels have room beside each other under a panel."""
TICKS = 10
"""About so many labels on an axis of many cells."""


def curves(frame: pd.DataFrame, x: str, xlabel: str, log: bool = False) -> Figure:
    """One panel a metric: a line an arm along a number, with 95 % intervals.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, metric, value, low, high and `x`, that of the horizontal axis.
    log : bool
        Logarithmic, with zero at the left end (symmetric-log).
    """
    arms = arms_of(frame)
    figure, drawn = panels(frame.groupby("metric", sort=False), 2, height=2.2)
    for axes, metric, rows in drawn:
        rows = rows.sort_values(x)
        intervals(axes, rows, arms, rows[x])
        if log:
            _doses(axes, sorted({0.0, *frame.loc[frame[x] > 0, x]}))
        elif (frame[x].astype(float) % 1 == 0).all():
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel=xlabel, title=label_of(metric))
    legend(figure, min(len(arms), 4))
    return figure


def _doses(axes: Axes, doses: list[float]) -> None:
    """A logarithmic axis with zero, on which each dose is marked."""
    axes.set_xscale("symlog", linthresh=doses[1])
    axes.set_xticks(doses, [f"{dose:g}" for dose in doses],
                    rotation=90 if len(doses) > SIDE_BY_SIDE else 0)
    axes.minorticks_off()


def frontier(
    frame: pd.DataFrame, x: str, y: str, xlabel: str, ylabel: str, best: str, log: bool = False
) -> Figure:
    """One point an arm, both metrics with intervals; names beside the points.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, metric, value, low, high; one row an arm for each of the metrics `x` and `y`.
    best : str
        Which corner is best, said in words at the top.
    log : bool
        Logarithmic horizontal axis, for ratios.
    """
    arms, named = arms_of(frame), []
    figure, axes = plt.subplots(figsize=(WIDTH, 3.8))
    for arm in arms:
        rows = frame[frame["arm"] == arm].set_index("metric")
        if not {x, y} <= set(rows.index):
            continue
        one, two = rows.loc[[x]], rows.loc[[y]]
        look = look_of(arms, arm)
        axes.errorbar(one["value"], two["value"], xerr=whiskers(one), yerr=whiskers(two),
                      capsize=0, elinewidth=0.7, linestyle="none", **look)
        named.append((look["label"], one["value"].iloc[0], two["value"].iloc[0], look["color"]))
    axes.set(xlabel=xlabel, ylabel=ylabel, title=best, xscale="log" if log else "linear")
    if log:
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    _name_points(axes, named)
    return figure


def _name_points(axes: Axes, named: Sequence[tuple[str, float, float, str]]) -> None:
    """Names beside points, each at the nearest place free; a thin line leads back."""
    axes.figure.draw_without_rendering()  # the layout decides what is crowded
    taken, scale = [], axes.figure.dpi / 72
    for name, x, y, colour in sorted(named, key=lambda point: -point[2]):
        at = axes.transData.transform((x, y)) / scale  # points of the page
        wide = LETTER * len(name)
        side = -1 if at[0] + wide + 6 > axes.bbox.x1 / scale else 1
        for step in sorted(range(-12, 13), key=abs):
            left, middle = at[0] + (6 if side > 0 else -6 - wide), at[1] + RISE + step * LINE
            box = (left, middle - LINE / 2, left + wide, middle + LINE / 2)
            if not any(_overlap(box, other) for other in taken):
                break
        taken.append(box)
        axes.annotate(
            name, (x, y), (side * 6, RISE + step * LINE), textcoords="offset points", fontsize=7,
            color=colour, va="center", ha="left" if side > 0 else "right",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.4} if step else None)


def _overlap(one: tuple[float, ...], two: tuple[float, ...]) -> bool:
    """Whether two boxes (left, bottom, right, top) share a point."""
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def calibration(frame: pd.DataFrame, xlabel: str, ylabel: str) -> Figure:
    """Found against true shares, one small panel an arm; filled points were taught.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, value, share, part (``taught`` or another).
    """
    figure, drawn = panels(frame.groupby("arm", sort=False), 4, height=1.7, sharey=True)
    for axes, arm, rows in drawn:
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
        axes.axhline(0.5, color=GREY, linestyle=":", linewidth=1)
        for part, some in rows.groupby("part"):
            axes.plot(some["share"], some["value"], linestyle="none", marker="o", markersize=3,
                      color=PALETTE[0], markerfacecolor=PALETTE[0] if part == "taught" else "white")
        axes.set(title=name_of(arm), xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
    figure.supxlabel(xlabel, fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    return figure


def scatter_truth(
    truth: Sequence[float], found: Sequence[float], xlabel: str, ylabel: str
) -> Figure:
    """What was found against what is true, with the 45-degree line."""
    figure, axes = plt.subplots(figsize=(0.65 * WIDTH, 3.6))
    both = np.concatenate([np.asarray(truth, dtype=float), np.asarray(found, dtype=float)])
    ends = [both.min(), both.max()]
    axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1, label="equal")
    axes.plot(truth, found, linestyle="none", marker="o", alpha=0.8)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return figure


def distribution(chances: np.ndarray, x: float, rational: float) -> Figure:
    """Probabilities of the integers 0, 1, ..; with their mean, the last value, the rational one."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.6))
    values = np.arange(len(chances))
    axes.fill_between(values, chances, step="mid", color=PALETTE[0], alpha=0.4, linewidth=0)
    mean = float(values @ chances / chances.sum())
    for place, label, colour, line in (
        (mean, "mean of the forecast", PALETTE[0], "-"), (x, "last number shown", GREY, ":"),
        (rational, "rational forecast", PALETTE[1], "--"),
    ):
        axes.axvline(place, label=label, color=colour, linestyle=line)
    held = values[chances > 0.001 * chances.max()]
    axes.set(xlim=(min(held[0], x, rational) - 3, max(held[-1], x, rational) + 3), ylim=(0, None),
             xlabel="Next number (display units)", ylabel="Probability")
    legend(figure)
    return figure


def series_grid(series: Mapping[str, pd.Series]) -> Figure:
    """Small multiples of series by period; the names, with units, are the titles."""
    figure, drawn = panels(series.items(), 3, height=1.35)
    for axes, name, values in drawn:
        start = values.index.to_timestamp()
        years = (start.year + (start.dayofyear - 1) / 366).to_numpy(dtype=float)
        axes.plot(years, values.to_numpy(), linewidth=0.8)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        title = "\n".join(textwrap.fill(part, 40) for part in name.split("\n"))
        axes.set_title(title, fontsize=7)
    return figure


def histories(frame: pd.DataFrame) -> Figure:
    """What was shown in a few items, what came next, and beside it what each arm forecast.

    Parameters
    ----------
    frame : DataFrame
        Items with columns arm, series, t, rho, horizon, history, outcome, forecast.
    """
    arms = arms_of(frame)
    items = frame.groupby(["series", "t"], sort=False)
    figure, drawn = panels(items, 3, height=1.7, sharey=True)
    for axes, _, rows in drawn:
        shown = np.asarray(rows["history"].iloc[0], dtype=float)
        ahead = int(rows["horizon"].iloc[0])
        axes.plot(np.arange(1 - len(shown), 1), shown, color="#404040", linewidth=1, label="shown")
        axes.plot([ahead], rows["outcome"].iloc[:1], color="#404040", marker="x", markersize=6,
                  linestyle="none", label="outcome")
        for arm, row in rows.groupby("arm", sort=False):
            # Side by side, or forecasts that agree would hide each other.
            place = ahead + 0.9 * (1 + arms.index(arm))
            axes.plot([place], row["forecast"], linestyle="none", **look_of(arms, arm))
        axes.set_title(f"\N{GREEK SMALL LETTER RHO} = {rows['rho'].iloc[0]:g}")
    figure.supxlabel("Periods from the last number shown", fontsize=9)
    figure.supylabel("Value (display units)", fontsize=9)
    legend(figure)
    return figure


def grid_maps(frame: pd.DataFrame, x: str, y: str, xlabel: str, ylabel: str) -> Figure:
    """One panel a metric, each with its own colours; values and 95 % intervals in the cells.

    Parameters
    ----------
    frame : DataFrame
        Columns metric, value, low, high, `x` and `y`; one row a cell.
    """
    figure, drawn = panels(frame.groupby("metric", sort=False), 2, height=2.4)
    for axes, metric, rows in drawn:
        told = [f"{r.value:.2f}\n[{r.low:.2f}, {r.high:.2f}]" for r in rows.itertuples()]
        cells = rows.assign(told=told).pivot(index=y, columns=x, values=["value", "told"])
        sns.heatmap(cells["value"].astype(float), ax=axes, annot=cells["told"], fmt="",
                    annot_kws={"size": 7.5}, cmap="cividis", cbar=False)
        axes.set(xlabel=xlabel, ylabel=ylabel, title=label_of(metric))
        axes.tick_params(length=0)
    return figure


def weight_maps(frame: pd.DataFrame, x: str, y: str, xlabel: str, ylabel: str) -> Figure:
    """One panel a condition, all in the same colours: blue at 0, white at 1, red at 2.

    Parameters
    ----------
    frame : DataFrame
        Columns condition, metric, value, `x` and `y`; one metric. What has no row is grey.
    """
    figure, drawn = panels(frame.groupby("condition", sort=False), 2, height=2.8)
    for axes, condition, rows in drawn:
        cells = rows.pivot(index=y, columns=x, values="value")
        along, down = (-(-size // TICKS) for size in reversed(cells.shape))
        sns.heatmap(cells.astype(float), ax=axes, vmin=0, vmax=2, cmap="vlag", cbar=False,
                    xticklabels=along, yticklabels=down)
        axes.set(xlabel=xlabel, ylabel=ylabel, title=name_of(condition), facecolor="#bbbbbb")
        axes.grid(False)
        axes.tick_params(rotation=0)
    grid = [axes for axes, _, _ in drawn]
    figure.colorbar(grid[0].collections[0], ax=grid, label=label_of(frame["metric"].iloc[0]))
    return figure
