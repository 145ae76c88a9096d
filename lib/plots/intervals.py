"""Values with their 95 % intervals, by arm; behind them the runs, and the committed reference.

Rows are as exhibits store them (arm, condition, metric, value, low, high). Of `runs` (a run table)
and `reference` (rows of the reference's exhibit), what is in the same cells as a row is drawn.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.plots.layers import VALUE, arrows, bulk, draw_behind, explain, jitter, layered, padded
from lib.plots.style import GREY, WIDTH, arms_of, label_of, legend, look_of, name_of, panels

PERSISTENCE = "True persistence \N{GREEK SMALL LETTER RHO}"


def intervals(
    axes: Axes, rows: pd.DataFrame, arms: list[Any], places: Sequence[float], step: float = 0.0,
    upright: bool = True, room: float | None = None,
) -> None:
    """Each arm's `layered` rows at their `places`: values with whiskers, arms `step` apart.

    Runs are spread over `room`, by default most of a step; both in units of the axis's scale.
    """
    limits = bulk(rows)
    scale = (axes.xaxis if upright else axes.yaxis).get_transform()
    for i, arm in enumerate(arms):
        own, look = (rows["arm"] == arm).to_numpy(), look_of(arms, arm)
        middle = scale.transform(np.asarray(places, dtype=float)[own])
        middle = middle + step * (i - (len(arms) - 1) / 2)
        some, at = rows[own], scale.inverted().transform(middle)
        spread = (0.9 * step if room is None else room) * jitter(some)
        draw_behind(axes, some, at, scale.inverted().transform(middle + spread), look["color"],
                    upright)
        shown = (some["layer"] == VALUE).to_numpy()
        value, reach = some.loc[shown, "value"], whiskers(some[shown])
        if upright:  # joined by a line
            axes.errorbar(at[shown], value, yerr=reach, capsize=2, linestyle="-", **look)
        else:
            axes.errorbar(value, at[shown], xerr=reach, capsize=2, linestyle="none", **look)
        if limits:
            arrows(axes, some, at, padded(*limits), look["color"], upright)
    explain(axes, rows)


def whiskers(rows: pd.DataFrame) -> np.ndarray:
    """Distances from value to interval ends, shape (2, rows); zero where there is no interval."""
    value = rows["value"].to_numpy(dtype=float)
    low, high = (pd.to_numeric(rows[end]).to_numpy(dtype=float) for end in ("low", "high"))
    return np.nan_to_num(np.maximum([value - low, high - value], 0))


def persistence_curve(
    frame: pd.DataFrame, runs: pd.DataFrame | None = None, reference: pd.DataFrame | None = None
) -> Figure:
    """Implied against true persistence: one line an arm, 95 % intervals, and the 45-degree line.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, condition (rho), value, low, high; an interval may be missing.
    runs, reference : DataFrame, optional
    """
    figure, axes = plt.subplots()
    arms, rows = arms_of(frame), layered(frame.sort_values("condition"), runs, reference)
    rho = rows["condition"].astype(float)
    ends = [min(rho.min(), 0.0), max(rho.max(), 1.0)]
    axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1, label="implied = true")
    intervals(axes, rows, arms, rho, step=0.016)
    axes.set(xlabel=PERSISTENCE, ylabel=label_of("implied_persistence"))
    legend(figure)
    return figure


def coefficient_bars(
    frame: pd.DataFrame, by: str = PERSISTENCE, runs: pd.DataFrame | None = None,
    reference: pd.DataFrame | None = None,
) -> Figure:
    """Dots with 95 % intervals, one line of the page a condition, colour by arm, zero marked.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, condition, value, low, high, and metric for the label of the axis. A value
        that is not defined is left out.
    by : str
        What a numeric condition is.
    runs, reference : DataFrame, optional
    """
    arms, count = arms_of(frame), frame["condition"].nunique()
    height = 0.9 + count * (0.13 + 0.11 * len(arms))
    figure, axes = plt.subplots(figsize=(WIDTH, max(1.8, height)))
    axes.axvline(0, color=GREY, linewidth=1)
    _down(axes, layered(frame, runs, reference), arms, step=min(0.2, 0.7 / len(arms)))
    metrics = list(dict.fromkeys(frame["metric"])) if "metric" in frame else []
    axes.set(ylim=(count - 0.5, -0.5), xlabel=label_of(*metrics) if len(metrics) == 1 else "Value")
    if pd.api.types.is_numeric_dtype(frame["condition"]):
        axes.set_ylabel(by)
    if len(axes.get_legend_handles_labels()[1]) > 1:
        legend(figure)
    return figure


def coverage(frame: pd.DataFrame, accepted: tuple[float, float]) -> Figure:
    """Coverage of nominal 95 % intervals: a line an estimator, colour by condition, the band.

    Parameters
    ----------
    frame : DataFrame
        Columns arm (the estimator), condition, value, low, high.
    """
    # There are more estimators than colours that can be told apart.
    figure = coefficient_bars(frame.assign(
        arm=frame["condition"], condition=[name_of(arm) for arm in frame["arm"]]
    ))
    axes = figure.axes[0]
    axes.axvspan(*accepted, color="#eeeeee", zorder=0)
    axes.axvline(0.95, color=GREY, linewidth=1, linestyle="--")
    axes.set(xlabel="Share of 95 % intervals that hold the truth",
             xlim=(min(0.88, frame["low"].min() - 0.005), 1.0))
    return figure


def before_after(
    frame: pd.DataFrame, runs: pd.DataFrame | None = None, reference: pd.DataFrame | None = None
) -> Figure:
    """Metrics by arm: one small panel a metric, conditions down the panel, colour by arm.

    Zero is marked where values lie on both sides of it.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, condition, metric, value, low, high.
    runs, reference : DataFrame, optional
    """
    arms = arms_of(frame)
    # Panels are as high as the metric with the most conditions needs.
    most = int(frame.groupby("metric")["condition"].nunique().max())
    height = max(1.35, 0.45 + most * (0.1 + 0.08 * len(arms)))  # inches; a whisker needs 0.08
    rows = layered(frame, runs, reference)
    figure, drawn = panels(rows.groupby("metric", sort=False), 2, height)
    for axes, metric, some in drawn:
        if pd.to_numeric(some["low"]).min() < 0 < pd.to_numeric(some["high"]).max():
            axes.axvline(0, color=GREY, linewidth=1)
        _down(axes, some, arms, step=min(0.25, 0.8 / len(arms)))
        title = label_of(metric)
        if len(title) > 36:  # beside the names of conditions a panel is narrow
            title = title.replace(" (", "\n(")
        axes.set(ylim=(some["condition"].nunique() - 0.4, -0.6), title=title)
        axes.locator_params(axis="x", nbins=5)
    legend(figure, "lower center")
    return figure


def coins(
    frame: pd.DataFrame, runs: pd.DataFrame, reference: pd.DataFrame | None = None,
    metrics: tuple[str, str] = ("refusal_rate", "broken_share"),
) -> Figure:
    """All or nothing: every run's rate as a point, and beside it the share of runs that broke.

    A line of the page an arm (and condition), for a mean hides that runs are near 0 or near 1.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, condition, metric, value, low, high, runs; rows of both `metrics`.
    runs : DataFrame
        Run table of the first metric; of the second, nothing is drawn.
    reference : DataFrame, optional
        The reference's rows, drawn behind.
    metrics : (str, str)
        A rate, and the share of runs that are broken.
    """
    rate, share = metrics
    rows = layered(frame, runs[runs["metric"] == rate], reference)
    lines = list(dict.fromkeys(zip(frame["condition"], frame["arm"], strict=True)))
    arms = arms_of(frame)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(WIDTH, 1.1 + 0.24 * len(lines)), sharey=True, width_ratios=(3, 2))
    for axes, metric in ((left, rate), (right, share)):
        some = rows[rows["metric"] == metric]
        places = [lines.index(line) for line in zip(some["condition"], some["arm"], strict=True)]
        intervals(axes, some, arms, places, upright=False, room=0.6)
        axes.set(xlim=(-0.04, 1.04), title=label_of(metric))
        for drawn in axes.containers:
            drawn.set_label("")  # the lines of the page are named
    for row in frame[frame["metric"] == share].dropna(subset=["value"]).itertuples():
        told = f"{round(row.value * row.runs)} of {row.runs:g}"
        right.annotate(told, (1.07, lines.index((row.condition, row.arm))), va="center",
                       annotation_clip=False, fontsize=8)
    several = frame["condition"].nunique() > 1
    told = [", ".join(map(name_of, line if several else line[1:])) for line in lines]
    left.set(ylim=(len(lines) - 0.4, -0.6), yticks=range(len(lines)), yticklabels=told)
    legend(figure, "lower center")
    return figure


def _down(axes: Axes, rows: pd.DataFrame, arms: list[Any], step: float) -> None:
    """Conditions down the page, the first on top; arms beside each other in each."""
    conditions = list(dict.fromkeys(rows["condition"]))
    places = [conditions.index(condition) for condition in rows["condition"]]
    intervals(axes, rows, arms, places, step, upright=False)
    axes.set_yticks(range(len(conditions)), [name_of(condition) for condition in conditions])
    axes.grid(False, axis="y")
