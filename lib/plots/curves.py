"""Pictures of what depends on a dose, on a place in an answer, or on a second metric.

Pictures of a metric over two numbers at once: a grid of settings, or places over time.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.plots.intervals import (
    GREY,
    LABELS,
    PALETTE,
    WIDTH,
    arms_of,
    look_of,
    name_of,
    panels_of,
    whiskers,
)

LINE, LETTER, RISE = 8.0, 4.2, 4.5
"""Height of a line and width of a letter of small print, and how far it stands above a point whose
whiskers would cross it; in points."""

SIDE_BY_SIDE = 6
"""Most doses whose labels have room beside each other under a panel."""


def curves(frame: pd.DataFrame, x: str, xlabel: str, log: bool = False) -> Figure:
    """One panel a metric: a line an arm along a number, with 95 % intervals.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, metric, value, low, high and `x`.
    x : str
        Column of the horizontal axis.
    log : bool
        Logarithmic, with zero at the left end (symmetric-log).
    """
    arms, metrics = arms_of(frame), list(dict.fromkeys(frame["metric"]))
    figure, grid = panels_of(len(metrics), 2, height=2.2)
    for axes, metric in zip(grid, metrics, strict=True):
        for arm in arms:
            rows = frame[(frame["arm"] == arm) & (frame["metric"] == metric)].sort_values(x)
            axes.errorbar(rows[x].to_numpy(float), rows["value"], yerr=whiskers(rows), capsize=2,
                          **look_of(arms, arm))
        if log:
            doses = sorted({0.0, *frame.loc[frame[x] > 0, x]})
            axes.set_xscale("symlog", linthresh=doses[1])
            axes.set_xticks(doses, [f"{dose:g}" for dose in doses],
                            rotation=90 if len(doses) > SIDE_BY_SIDE else 0)
            axes.minorticks_off()
        elif (frame[x].astype(float) % 1 == 0).all():
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel=xlabel, title=LABELS.get(metric, name_of(metric)))
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center",
                  ncols=min(len(arms), 4))
    return figure


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
        look = look_of(arms, arm, joined=False)
        axes.errorbar(one["value"], two["value"], xerr=whiskers(one), yerr=whiskers(two),
                      capsize=0, elinewidth=0.7, **look)
        named.append((name_of(arm), one["value"].iloc[0], two["value"].iloc[0], look["color"]))
    axes.set(xlabel=xlabel, ylabel=ylabel, title=best, xscale="log" if log else "linear")
    if log:
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    _name_points(axes, named)
    return figure


def _name_points(axes: Axes, named: Sequence[tuple[str, float, float, str]]) -> None:
    """Names beside points, each at the nearest place that no other name has taken.

    Names of like height in a crowd move up or down by whole lines, and a thin line leads back.
    """
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
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def calibration(frame: pd.DataFrame, xlabel: str, ylabel: str) -> Figure:
    """Found against true shares, one small panel an arm; filled points were taught.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, value, share, part (``taught`` or another).
    """
    arms = arms_of(frame)
    figure, grid = panels_of(len(arms), 4, height=1.7, sharey=True)
    for axes, arm in zip(grid, arms, strict=True):
        rows = frame[frame["arm"] == arm]
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
        axes.axhline(0.5, color=GREY, linestyle=":", linewidth=1)
        for part, some in rows.groupby("part"):
            axes.plot(some["share"], some["value"], linestyle="none", marker="o", markersize=3,
                      color=PALETTE[0], markerfacecolor=PALETTE[0] if part == "taught" else "white")
        axes.set(title=name_of(arm), xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
    figure.supxlabel(xlabel, fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    return figure

TICKS = 10
"""About so many labels on an axis of many cells."""


def grid_maps(frame: pd.DataFrame, x: str, y: str, xlabel: str, ylabel: str) -> Figure:
    """One panel a metric, each with its own colours; values and 95 % intervals in the cells.

    Parameters
    ----------
    frame : DataFrame
        Columns metric, value, low, high, `x` and `y`; one row a cell.
    """
    metrics = list(dict.fromkeys(frame["metric"]))
    figure, grid = panels_of(len(metrics), 2, height=2.4)
    for axes, metric in zip(grid, metrics, strict=True):
        rows = frame[frame["metric"] == metric]
        told = [f"{r.value:.2f}\n[{r.low:.2f}, {r.high:.2f}]" for r in rows.itertuples()]
        cells = rows.assign(told=told).pivot(index=y, columns=x, values=["value", "told"])
        sns.heatmap(cells["value"].astype(float), ax=axes, annot=cells["told"], fmt="",
                    annot_kws={"size": 7.5}, cmap="cividis", cbar=False)
        axes.set(xlabel=xlabel, ylabel=ylabel, title=LABELS.get(metric, name_of(metric)))
        axes.tick_params(length=0)
    return figure


def weight_maps(frame: pd.DataFrame, x: str, y: str, xlabel: str, ylabel: str) -> Figure:
    """One panel a condition, all in the same colours: blue at 0, white at 1, red at 2.

    Parameters
    ----------
    frame : DataFrame
        Columns condition, metric, value, `x` and `y`; one metric. What has no row is grey.
    """
    conditions = list(dict.fromkeys(frame["condition"]))
    figure, grid = panels_of(len(conditions), 2, height=2.8)
    for axes, condition in zip(grid, conditions, strict=True):
        cells = frame[frame["condition"] == condition].pivot(index=y, columns=x, values="value")
        along, down = (-(-size // TICKS) for size in reversed(cells.shape))
        sns.heatmap(cells.astype(float), ax=axes, vmin=0, vmax=2, cmap="vlag", cbar=False,
                    xticklabels=along, yticklabels=down)
        axes.set(xlabel=xlabel, ylabel=ylabel, title=name_of(condition), facecolor="#bbbbbb")
        axes.grid(False)
        axes.tick_params(rotation=0)
    metric = frame["metric"].iloc[0]
    figure.colorbar(grid[0].collections[0], ax=grid, label=LABELS.get(metric, name_of(metric)))
    return figure
