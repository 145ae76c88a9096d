"""Pictures of what depends on a dose, on a place in an answer, or on a second metric."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from lib.plots.estimates import GREY, LABELS, WIDTH, arms_of, look_of, name_of, panels_of, whiskers


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
            positive = frame.loc[frame[x] > 0, x]
            axes.set_xscale("symlog", linthresh=float(positive.min()))
            axes.set_xticks(sorted({0.0, *positive}), [f"{v:g}" for v in sorted({0.0, *positive})])
            axes.minorticks_off()
        axes.set(xlabel=xlabel, title=LABELS.get(metric, name_of(metric)))
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center",
                  ncols=min(len(arms), 4))
    return figure


def frontier(
    frame: pd.DataFrame, x: str, y: str, xlabel: str, ylabel: str, best: str
) -> Figure:
    """One point an arm, both metrics with intervals; names beside the points.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, metric, value, low, high; one row an arm for each of the metrics `x` and `y`.
    best : str
        Which corner is best, said in words at the top.
    """
    arms = arms_of(frame)
    figure, axes = plt.subplots(figsize=(WIDTH, 3.8))
    for arm in arms:
        rows = frame[frame["arm"] == arm].set_index("metric")
        if not {x, y} <= set(rows.index):
            continue
        one, two = rows.loc[[x]], rows.loc[[y]]
        look = look_of(arms, arm, joined=False)
        axes.errorbar(one["value"], two["value"], xerr=whiskers(one), yerr=whiskers(two),
                      capsize=0, elinewidth=0.7, **look)
        axes.annotate(name_of(arm), (one["value"].iloc[0], two["value"].iloc[0]), fontsize=7,
                      xytext=(4, 3), textcoords="offset points", color=look["color"])
    axes.set(xlabel=xlabel, ylabel=ylabel, title=best)
    return figure


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
        colour = look_of(arms, arms[0])["color"]
        for part, some in rows.groupby("part"):
            axes.plot(some["share"], some["value"], linestyle="none", marker="o", markersize=3,
                      color=colour, markerfacecolor=colour if part == "taught" else "white")
        axes.set(title=name_of(arm), xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
    figure.supxlabel(xlabel, fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    return figure
