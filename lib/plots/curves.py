"""What depends on a number, on time, on a second metric, or on two numbers at once."""

import textwrap
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lib.plots import layers
from lib.plots.intervals import intervals, whiskers
from lib.plots.style import (
    BASE,
    GREY,
    PALE,
    PALETTE,
    WIDTH,
    arms_of,
    label_of,
    legend,
    look_of,
    name_of,
    panels,
)

SIDE_BY_SIDE = 6
"""Most doses whose labels have room beside each other under a panel."""
TICKS = 10
"""About so many labels on an axis of many cells."""


def curves(
    frame: pd.DataFrame, x: str, xlabel: str, log: bool = False, apart: Sequence[str] = (),
    marks: Mapping[float, str] = MappingProxyType({}), runs: pd.DataFrame | None = None,
    reference: pd.DataFrame | None = None,
) -> Figure:
    """One panel a metric: a line an arm along a number, with 95 % intervals.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, metric, value, low, high and `x`, that of the horizontal axis.
    log : bool
        Logarithmic, with zero at the left end (symmetric-log).
    apart : sequence of str
        Metrics that get a panel an arm, for arms so far apart that differences cannot be seen.
    marks : mapping of float to str
        Places along the axis that are named in each panel.
    runs, reference : DataFrame, optional
        With the column `x`.
    """
    arms, rows = arms_of(frame), layers.layered(frame, runs, reference, by=[x])
    panel = [(m, a if m in apart else "") for m, a in zip(rows["metric"], rows["arm"], strict=True)]
    figure, drawn = panels(rows.groupby(pd.Series(panel, rows.index), sort=False), 2, height=2.2)
    for axes, (metric, arm), some in drawn:
        some = some.sort_values(x, kind="stable")
        if log:
            _doses(axes, sorted({0.0, *(some if arm else frame)[x]}))
        elif (frame[x].astype(float) % 1 == 0).all():
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        places = np.unique(axes.xaxis.get_transform().transform(frame[x].astype(float)))
        least = np.diff(places).min(initial=np.inf)  # arms of one place stay nearer than the next
        step = min(0.012 * float(np.ptp(places)), 0.5 * float(least) / len(arms))
        intervals(axes, some, arms, some[x], step=step)
        for place, name in marks.items():
            axes.axvline(place, color=PALE, linewidth=1, linestyle="--", zorder=1)
            axes.annotate(name, (place, 0.5), (3, 0), ("data", "axes fraction"), "offset points",
                          rotation=90, va="center", fontsize=7, color=GREY)
        axes.set(xlabel=xlabel, title=label_of(metric) + (arm and f", {name_of(arm)}"))
    legend(figure, "lower center")
    return figure


def _doses(axes: Axes, doses: list[float]) -> None:
    """A logarithmic axis with zero, on which each dose is marked."""
    axes.set_xscale("symlog", linthresh=doses[1])
    axes.set_xticks(doses, [f"{dose:g}" for dose in doses],
                    **({"rotation": 90, "fontsize": 7} if len(doses) > SIDE_BY_SIDE else {}))
    axes.minorticks_off()


def frontier(
    frame: pd.DataFrame, x: str, y: str, xlabel: str, ylabel: str, best: str, log: bool = False,
    criterion: tuple[float, str] | None = None, runs: pd.DataFrame | None = None,
    reference: pd.DataFrame | None = None,
) -> Figure:
    """One point an arm, both metrics with intervals; names in the legend.

    A base that would squeeze all arms together stands at the edge, its value in the legend.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, metric, value, low, high; one row an arm for each of the metrics `x` and `y`.
    best : str
        Which corner is best, said in words at the top.
    log : bool
        Logarithmic horizontal axis, for ratios.
    criterion : (float, str), optional
        A value of `x` that is marked, and what it is.
    runs, reference : DataFrame, optional
    """
    arms = arms_of(frame)
    figure, axes = plt.subplots(figsize=(WIDTH, 3.8))
    axes.set(xlabel=xlabel, ylabel=ylabel, title=best, xscale="log" if log else "linear")
    if criterion:
        axes.axvline(criterion[0], label=criterion[1], color=GREY, linestyle="--", linewidth=1)
    rows = layers.layered(frame.dropna(subset=["value"]), runs, reference)
    limits = _reach(axes, rows[rows["metric"] == x], [criterion[0]] if criterion else [])
    layers.explain(axes, rows)  # before any arrow: a base off the axis is named with its value
    for arm in arms:
        one, two = (rows[(rows["arm"] == arm) & (rows["metric"] == m)] for m in (x, y))
        if len(one) and len(two):
            _cross(axes, one, two, look_of(arms, arm), limits)
    if log:
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("{x:.3g}" if limits[1] < 4 * limits[0] else "")
    legend(figure)
    return figure


def _reach(axes: Axes, rows: pd.DataFrame, marked: Sequence[float]) -> tuple[float, float]:
    """Horizontal limits by the bulk of the arms and what is marked; the base need not be in it."""
    scale, value = axes.xaxis.get_transform(), rows["value"].astype(float)
    ends = {end: rows[end].astype(float).fillna(value) for end in ("low", "high")}
    low, high = layers.bulk(rows.assign(value=value.where(rows["arm"] != BASE), **ends)) or (
        ends["low"].min(), ends["high"].max())
    if axes.get_xscale() == "log":  # an interval may go below zero
        low = max(low, value.min() / 2)
    ends = scale.transform([min([low, *marked]), max([high, *marked])])
    return tuple(scale.inverted().transform(layers.padded(*ends)))


def _cross(
    axes: Axes, one: pd.DataFrame, two: pd.DataFrame, look: dict[str, Any],
    limits: tuple[float, float],
) -> None:
    """One arm's mean with both intervals; behind it its runs, and the reference's intervals."""
    both = one.merge(two, on=[name for name in ("layer", "base", "seed") if name in one])
    row, run, reference = (both[both["layer"] == layer] for layer in layers.LAYERS)
    axes.plot(run["value_x"], run["value_y"], color=look["color"], **layers.DOT)
    axes.hlines(reference["value_y"], reference["low_x"], reference["high_x"], **layers.BAR)
    axes.vlines(reference["value_x"], reference["low_y"], reference["high_y"], **layers.BAR)
    x, y = row["value_x"].iloc[0], row["value_y"].iloc[0]
    wide, high = (whiskers(some[some["layer"] == layers.VALUE]) for some in (one, two))
    if not limits[0] <= x <= limits[1]:
        look = look | {"label": f"{look['label']} (off the axis: {x:.3g})"}
        scale, wide = axes.xaxis.get_transform(), None
        ends = scale.transform(limits)  # there is an arrow; the mark goes before it
        x = np.clip(x, *scale.inverted().transform(ends + 0.03 * np.ptp(ends) * np.array([1, -1])))
    axes.errorbar([x], [y], xerr=wide, yerr=high, capsize=0, elinewidth=0.7, linestyle="none",
                  **look)
    layers.arrows(axes, one, np.full(len(one), y), limits, look["color"], upright=False)


FILLED = ("taught", "explicit")


def calibration(
    frame: pd.DataFrame, xlabel: str, ylabel: str, runs: pd.DataFrame | None = None,
    reference: pd.DataFrame | None = None,
) -> Figure:
    """Found against true shares, one small panel an arm; `FILLED` parts are filled points.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, value, share, part (of `FILLED` or another); low and high, or neither.
    runs, reference : DataFrame, optional
        With the column share.
    """
    arms, rows = arms_of(frame), layers.layered(frame, runs, reference, by=["share"])
    figure, drawn = panels(rows.groupby("arm", sort=False), 4, height=1.7, sharey=True)
    for axes, arm, some in drawn:
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
        axes.axhline(0.5, color=GREY, linestyle=":", linewidth=1)
        colour, share = look_of(arms, arm)["color"], some["share"].to_numpy(dtype=float)
        spread = share + 0.02 * layers.jitter(some)
        layers.draw_behind(axes, some, share, spread, colour, upright=True)
        for part, points in some[some["layer"] == layers.VALUE].groupby("part"):
            axes.plot(points["share"], points["value"], color=colour, **_filled(part))
        axes.set(title=name_of(arm), xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
    for part in sorted(set(frame["part"])):
        figure.axes[0].plot([], [], color=GREY, label=part, **_filled(part))
    layers.explain(figure.axes[0], rows)
    legend(figure, "upper center")
    figure.supxlabel(xlabel, fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    return figure


def _filled(part: str) -> dict[str, Any]:
    """A small round marker, open unless the part is one of `FILLED`."""
    return {"marker": "o", "markersize": 3, "linestyle": "none"} | (
        {} if part in FILLED else {"markerfacecolor": "white"})


def training(frame: pd.DataFrame, shown: Sequence[str]) -> Figure:
    """Loss along the steps of training: the arms `shown` in colour before all others in grey.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, condition (the step), value.
    shown : sequence of str
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 2.8))
    arms = arms_of(frame)
    for arm in [arm for arm in arms if arm not in shown] + [*shown]:
        own = frame[frame["arm"] == arm]
        look = ({"color": PALETTE[shown.index(arm)], "label": name_of(arm), "zorder": 3}
                if arm in shown else {"color": PALE, "linewidth": 1})
        axes.plot(own["condition"], own["value"], **look)
    axes.set(xlabel="Step of training", ylabel=label_of("token_loss"), yscale="log")
    legend(figure)
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
    meaning = f"{label_of(frame['metric'].iloc[0])}\nblue: held back, red: pulled up"
    bar = figure.colorbar(grid[0].collections[0], ax=grid, label=meaning)
    bar.set_ticks([0, 1, 2], labels=["0: left out", "1: as in the\nplain loss", "2: twice"])
    grid[0].plot([], [], "s", color="#bbbbbb", markersize=7, label=f"no such {y}")
    legend(figure, "lower center")
    return figure
