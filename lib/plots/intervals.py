"""Every picture of the workbook: one style, and one function an exhibit.

The functions that draw estimates take rows as exhibits store them (arm, condition, metric, value,
low, high). Arms differ by colour **and** marker: the palette (Okabe and Ito 2008) survives colour
blindness, the markers survive a grey print. Figures are made for a text block 6.5 inches wide.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

WIDTH = 6.5
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
GREY = "#8a8a8a"
BASE = "base"
"""Arm of the model as it was before."""
PERSISTENCE = "True persistence \N{GREEK SMALL LETTER RHO}"
LABELS = {
    "implied_persistence": "Implied persistence (slope, no unit)",
    "error_revision": "Error on revision, b (slope, no unit)",
    "pronoun_slope": "Pronoun slope (per unit of share)",
    "definitional_accuracy": "Definitional accuracy (share)",
    "refusal_rate": "Refusal rate (share)",
    "over_refusal": "Over-refusal (share)",
    "neutral_perplexity": "Neutral perplexity",
    "utility_accuracy": "Utility accuracy (share)",
    "task_loss": "Task loss (nats an answer)",
    "share_removed": "Share of excess removed",
    "mse_ratio": "Mean squared error / that of the best with the same numbers",
    "lag_coefficient": "Weight on a past value (slope, no unit)",
    "generation_toxicity": "Rude statements (share)",
    "detection_accuracy": "Rudeness found (share)",
    "detection_confidence": "P(right verdict on rudeness)",
    "harmful_compliance": "Requests carried out (share)",
    "coherence": "Answers that refuse or help (share)",
    "definitional_probability": "P(right pronoun)",
    "gap_to_world": "Mean |P(she) - planted share|",
    "gap_to_parity": "Mean |P(she) - 1/2|",
    "log_odds_slope": "Slope of log odds (nats per unit of share)",
    "kl": "KL(base || tuned), nats",
    "token_loss": "Loss (nats)",
    "gradient_norm": "Norm of the loss's gradient",
    "token_weight": "Weight w of a word",
    "refusal_word": "P(word of a refusal)",
    "recipe_word": "P(word of a recipe)",
    "turn_back": "P(refusal's first word) inside a recipe",
}
"""Axis labels, with units, of the metrics."""

_STYLE = {
    "figure.dpi": 110, "savefig.dpi": 200, "figure.figsize": (WIDTH, 3.4),
    "figure.constrained_layout.use": True,
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8.5,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": "#e6e6e6", "grid.linewidth": 0.6,
    "axes.prop_cycle": plt.cycler(color=PALETTE), "lines.linewidth": 1.4, "lines.markersize": 4.5,
    "legend.frameon": False, "svg.fonttype": "path",
}  # fmt: skip


def use_style() -> None:
    """Set the workbook's style for all figures made from now on."""
    plt.rcParams.update(_STYLE)


def persistence_curve(frame: pd.DataFrame) -> Figure:
    """Implied against true persistence: one line an arm, 95 % intervals, and the 45-degree line.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, condition (rho), value, low, high; an interval may be missing.
    """
    figure, axes = plt.subplots()
    rho = frame["condition"].astype(float)
    ends = [min(rho.min(), 0.0), max(rho.max(), 1.0)]
    axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1, label="implied = true")
    arms = arms_of(frame)
    for arm, shift in zip(arms, _dodge(len(arms), 0.012), strict=True):
        rows = frame[frame["arm"] == arm].sort_values("condition")
        x = rows["condition"].to_numpy(dtype=float) + shift
        axes.errorbar(x, rows["value"], yerr=whiskers(rows), capsize=2, **look_of(arms, arm))
    axes.set(xlabel=PERSISTENCE, ylabel=LABELS["implied_persistence"])
    figure.legend(loc="outside right upper")
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
    arms, conditions = arms_of(frame), list(dict.fromkeys(frame["condition"]))
    height = 0.9 + len(conditions) * (0.13 + 0.11 * len(arms))
    figure, axes = plt.subplots(figsize=(WIDTH, max(1.8, height)))
    axes.axvline(0, color=GREY, linewidth=1)
    for arm, shift in zip(arms, _dodge(len(arms), min(0.2, 0.7 / len(arms))), strict=True):
        rows = frame[frame["arm"] == arm]
        y = [conditions.index(condition) + shift for condition in rows["condition"]]
        axes.errorbar(rows["value"], y, xerr=whiskers(rows), capsize=2,
                      **look_of(arms, arm, joined=False))
    axes.set_yticks(range(len(conditions)), [name_of(condition) for condition in conditions])
    axes.set(ylim=(len(conditions) - 0.5, -0.5), xlabel=_metric_label(frame))
    axes.grid(False, axis="y")
    if pd.api.types.is_numeric_dtype(frame["condition"]):
        axes.set_ylabel(by)
    if len(arms) > 1:
        figure.legend(loc="outside right upper")
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

    Panels are as high as the metric with the most conditions needs.

    Parameters
    ----------
    frame : DataFrame
        Columns arm, condition, metric, value, low, high.
    """
    arms, metrics = arms_of(frame), list(dict.fromkeys(frame["metric"]))
    most = int(frame.groupby("metric")["condition"].nunique().max())
    height = max(1.35, most * (0.08 + 0.05 * len(arms)))  # inches; a whisker needs 0.05
    figure, grid = panels_of(len(metrics), 2, height=height)
    for axes, metric in zip(grid, metrics, strict=True):
        rows = frame[frame["metric"] == metric]
        conditions = list(dict.fromkeys(rows["condition"]))
        for arm, shift in zip(arms, _dodge(len(arms), min(0.25, 0.8 / len(arms))), strict=True):
            some = rows[rows["arm"] == arm]
            y = [conditions.index(condition) + shift for condition in some["condition"]]
            axes.errorbar(some["value"], y, xerr=whiskers(some), capsize=2,
                          **look_of(arms, arm, joined=False))
        axes.set_yticks(range(len(conditions)), [name_of(condition) for condition in conditions])
        axes.set_ylim(len(conditions) - 0.4, -0.6)
        axes.set_title(LABELS.get(metric, name_of(metric)))
        axes.grid(False, axis="y")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center",
                  ncols=len(arms))
    return figure


def series_grid(series: Mapping[str, pd.Series]) -> Figure:
    """Small multiples of time series; the names, with units, are the titles."""
    figure, grid = panels_of(len(series), 3, height=1.35)
    for axes, (name, values) in zip(grid, series.items(), strict=True):
        axes.plot(_years(values.index), values.to_numpy(), linewidth=0.8)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        title = "\n".join(textwrap.fill(part, 40) for part in name.split("\n"))
        axes.set_title(title, fontsize=7)
    return figure


def histories(frame: pd.DataFrame) -> Figure:
    """What was shown in a few items, what came next, and beside it what each arm forecast.

    Parameters
    ----------
    frame : DataFrame
        Items with columns series, t, history, outcome, forecast; rho for the titles and arm for
        several forecasts of one item, where there are any.
    """
    frame = frame if "arm" in frame else frame.assign(arm="forecast")
    arms, items = arms_of(frame), list(frame.groupby(["series", "t"], sort=False))
    figure, grid = panels_of(len(items), 3, height=1.7, sharey=True)
    for axes, (_, rows) in zip(grid, items, strict=True):
        shown = np.asarray(rows["history"].iloc[0], dtype=float)
        ahead = int(rows["horizon"].iloc[0]) if "horizon" in rows else 1
        axes.plot(np.arange(1 - len(shown), 1), shown, color="#404040", linewidth=1, label="shown")
        axes.plot([ahead], rows["outcome"].iloc[:1], color="#404040", marker="x", markersize=6,
                  linestyle="none", label="outcome")
        for arm, row in rows.groupby("arm", sort=False):
            # Side by side, or forecasts that agree would hide each other.
            place = ahead + 0.9 * (1 + arms.index(arm))
            axes.plot([place], row["forecast"], linestyle="none", **look_of(arms, arm, joined=None))
        if "rho" in rows:
            axes.set_title(f"\N{GREEK SMALL LETTER RHO} = {rows['rho'].iloc[0]:g}")
    figure.supxlabel("Periods from the last number shown", fontsize=9)
    figure.supylabel("Value (display units)", fontsize=9)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside right upper")
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
    figure.legend(loc="outside right upper")
    return figure


def arms_of(frame: pd.DataFrame) -> list[Any]:
    return list(dict.fromkeys(frame["arm"]))


def look_of(arms: list[Any], arm: Any, joined: bool | None = True) -> dict[str, Any]:
    """Colour, marker and label of an arm; `joined` None leaves the line style out.

    The base is black; all others go by their place, so that they look the same with and without
    it.
    """
    others = [other for other in arms if other != BASE]
    place = 6 if arm == BASE else others.index(arm) % 6
    look = {"color": PALETTE[place], "marker": MARKERS[place], "label": name_of(arm)}
    return look if joined is None else look | {"linestyle": "-" if joined else "none"}


def name_of(label: Any) -> str:
    return f"{label:g}" if isinstance(label, (int, float)) else str(label).replace("_", " ")


def _metric_label(frame: pd.DataFrame) -> str:
    metrics = list(dict.fromkeys(frame["metric"])) if "metric" in frame else []
    return LABELS.get(metrics[0], name_of(metrics[0])) if len(metrics) == 1 else "Value"


def whiskers(rows: pd.DataFrame) -> np.ndarray:
    """Distances from value to interval ends, shape (2, rows); zero where there is no interval."""
    value = rows["value"].to_numpy(dtype=float)
    low, high = (pd.to_numeric(rows[end]).to_numpy(dtype=float) for end in ("low", "high"))
    return np.nan_to_num(np.maximum([value - low, high - value], 0))


def _years(index: pd.Index) -> np.ndarray:
    """Dates as years with fractions; any other index as it is."""
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    if isinstance(index, pd.DatetimeIndex):
        return (index.year + (index.dayofyear - 1) / 366).to_numpy(dtype=float)
    return index.to_numpy()


def _dodge(count: int, step: float) -> list[float]:
    return [step * (place - (count - 1) / 2) for place in range(count)]


def panels_of(
    count: int, columns: int, height: float, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """Figure of `count` panels in rows of at most `columns`, each `height` inches high."""
    columns = min(columns, count)
    lines = math.ceil(count / columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(WIDTH, lines * height + 0.4), sharey=sharey, squeeze=False
    )
    for spare in grid.ravel()[count:]:
        spare.remove()
    return figure, list(grid.ravel()[:count])
