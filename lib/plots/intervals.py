"""Values with their 95 % intervals, by arm.

Rows are as exhibits store them (arm, condition, metric, value, low, high).
"""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.plots.style import GREY, WIDTH, arms_of, label_of, legend, look_of, name_of, panels

PERSISTENCE = "True persistence \N{GREEK SMALL LETTER RHO}"


def intervals(
    axes: Axes, frame: pd.DataFrame, arms: list[Any], places: Sequence[float], step: float = 0.0,
    upright: bool = True,
) -> None:
    """Each arm's values with whiskers at the rows' `places`, arms `step` apart."""
    for i, arm in enumerate(arms):
        own = (frame["arm"] == arm).to_numpy()
        at = np.asarray(places, dtype=float)[own] + step * (i - (len(arms) - 1) / 2)
        value, reach = frame.loc[own, "value"], whiskers(frame[own])
        if upright:  # joined by a line
            axes.errorbar(at, value, yerr=reach, capsize=2, linestyle="-", **look_of(arms, arm))
        else:
            axes.errorbar(value, at, xerr=reach, capsize=2, linestyle="none", **look_of(arms, arm))


def whiskers(rows: pd.DataFrame) -> np.ndarray:
    """Distances from value to interval ends, shape (2, rows); zero where there is no interval."""
    value = rows["value"].to_numpy(dtype=float)
    low, high = (pd.to_numeric(rows[end]).to_numpy(dtype=float) for end in ("low", "high"))
    return np.nan_to_num(np.maximum([value - low, high - value], 0))


def persistence_curve(frame: pd.DataFrame) -> Figure:
    """Implied against true persistence: one line an arm, 95 % intervals, and the 45-degree line.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, condition (rho), value, low, high; an interval may be missing.
    """
    figure, axes = plt.subplots()
    arms, frame = arms_of(frame), frame.sort_values("condition")
    rho = frame["condition"].astype(float)
    ends = [min(rho.min(), 0.0), max(rho.max(), 1.0)]
    axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1, label="implied = true")
    intervals(axes, frame, arms, rho, step=0.012)
    axes.set(xlabel=PERSISTENCE, ylabel=label_of("implied_persistence"))
    legend(figure)
    return figure


def coefficient_bars(frame: pd.DataFrame, by: str = PERSISTENCE) -> Figure:
    """Dots with 95 % intervals, one line of the page a condition, colour by arm, zero marked.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, condition, value, low, high, and metric for the label of the axis. A value
        that is not defined is left out.
    by : str
        What a numeric condition is.
    """
    arms, count = arms_of(frame), frame["condition"].nunique()
    height = 0.9 + count * (0.13 + 0.11 * len(arms))
    figure, axes = plt.subplots(figsize=(WIDTH, max(1.8, height)))
    axes.axvline(0, color=GREY, linewidth=1)
    _down(axes, frame, arms, step=min(0.2, 0.7 / len(arms)))
    metrics = list(dict.fromkeys(frame["metric"])) if "metric" in frame else []
    axes.set(ylim=(count - 0.5, -0.5), xlabel=label_of(*metrics) if len(metrics) == 1 else "Value")
    if pd.api.types.is_numeric_dtype(frame["condition"]):
        axes.set_ylabel(by)
    if len(arms) > 1:
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


def before_after(frame: pd.DataFrame) -> Figure:
    """Metrics by arm: one small panel a metric, conditions down the panel, colour by arm.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, condition, metric, value, low, high.
    """
    arms = arms_of(frame)
    # Panels are as high as the metric with the most conditions needs.
    most = int(frame.groupby("metric")["condition"].nunique().max())
    height = max(1.35, most * (0.08 + 0.05 * len(arms)))  # inches; a whisker needs 0.05
    figure, drawn = panels(frame.groupby("metric", sort=False), 2, height)
    for axes, metric, rows in drawn:
        _down(axes, rows, arms, step=min(0.25, 0.8 / len(arms)))
        axes.set(ylim=(rows["condition"].nunique() - 0.4, -0.6), title=label_of(metric))
    legend(figure, len(arms))
    return figure


def _down(axes: Axes, rows: pd.DataFrame, arms: list[Any], step: float) -> None:
    """Conditions down the page, the first on top; arms beside each other in each."""
    conditions = list(dict.fromkeys(rows["condition"]))
    places = [conditions.index(condition) for condition in rows["condition"]]
    intervals(axes, rows, arms, places, step, upright=False)
    axes.set_yticks(range(len(conditions)), [name_of(condition) for condition in conditions])
    axes.grid(False, axis="y")
