"""The scorecard as a heat map, and combined cures as points between two biases."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator

from lib.plots.intervals import whiskers
from lib.plots.style import BLACK, GREY, WIDTH, arms_of, label_of, legend, look_of, name_of

COLOURS = "RdBu_r"
"""Red is worse, blue better; told apart by readers who see no green or no red."""
LIMIT, LINEAR = 30.0, 1.0
"""Harm in spreads beyond which colours stay the same; linear within one."""
FAINT = 0.3
"""Part of its colour that a cell without evidence keeps."""
SMALL = 6.5
"""Points of the smallest text."""
UNITS = {"slope": " (slope)"}
"""What stands behind a title: shares are in points, as the bar says, others need no unit."""
RING = {"marker": "o", "color": GREY, "markerfacecolor": "none", "linestyle": "none"}
NAMES: Mapping[str, str] = MappingProxyType({
    "extrapolation_gender": "extrapolation, then gender",
    "gender_extrapolation": "gender, then extrapolation",
    "joint": "both in one training", "joint_kl": "both in one, with KL",
    "added": "updates added", "ties": "updates merged (TIES)"})
"""Combinations in words."""


def heat_map(card: pd.DataFrame) -> Figure:
    """Every intervention on every axis: colour is harm, the number is the change itself.

    Rows are arms, under the name of their task; columns are axes. Red is worse and blue is better,
    on a logarithmic scale beyond one spread of the base models; cells without evidence are pale and
    their numbers grey. Framed cells are what the task was about.

    Parameters
    ----------
    card : DataFrame
        From `lib.chapters.scorecard.card`: arm, task, axis, title, unit, value, harm, own, verdict.
    """
    arms, axes_shown = arms_of(card), list(dict.fromkeys(card["axis"]))
    places = _places(card)
    height = 1.8 + 0.17 * (max(places.values()) + 1)
    figure, axes = plt.subplots(figsize=(WIDTH, height))
    norm = SymLogNorm(LINEAR, vmin=-LIMIT, vmax=LIMIT)
    for row in card.itertuples():
        _cell(axes, row, axes_shown.index(row.axis), places[row.arm], norm)
    axes.set(xlim=(-0.5, len(axes_shown) - 0.5), ylim=(max(places.values()) + 0.5, -0.7))
    _name_rows(axes, card, arms, places)
    _name_columns(axes, card)
    _colour_bar(figure, axes, norm)
    return figure


def _places(card: pd.DataFrame) -> dict[str, float]:
    """Line of the page of each arm; between tasks there is room for a name."""
    places, at, task = {}, -1.0, None
    for arm, own in card.drop_duplicates("arm")[["arm", "task"]].to_numpy():
        at += 1.0 if own == task else 1.9 if task else 1.0
        places[arm], task = at, own
    return places


def _cell(axes: Axes, row: object, x: int, y: float, norm: SymLogNorm) -> None:
    if not np.isfinite(row.value):
        return
    sure = row.verdict != "no evidence"
    full = np.array(plt.get_cmap(COLOURS)(norm(np.clip(row.harm, -LIMIT, LIMIT)))[:3])
    colour = full if sure else 1 - FAINT * (1 - full)
    edge = {"edgecolor": BLACK, "linewidth": 1.2, "zorder": 2.5} if row.own else {
        "edgecolor": "white", "linewidth": 1.0, "zorder": 2.0}
    inset = 0.46 if row.own else 0.5
    axes.add_patch(Rectangle((x - inset, y - inset), 2 * inset, 2 * inset, facecolor=colour,
                             **edge))
    dark = sure and colour @ (0.299, 0.587, 0.114) < 0.5
    axes.text(x, y, shown_change(row.value, row.unit), ha="center", va="center", fontsize=SMALL,
              color="white" if dark else BLACK if sure else "#6a6a6a", zorder=3)


def shown_change(value: float, unit: str) -> str:
    """Two significant digits with a sign; shares in points (hundredths), none below a tenth."""
    value, most = (100 * value, 1) if unit == "points" else (value, 3)
    if value == 0 or not np.isfinite(value):
        return "0" if value == 0 else ""
    digits = int(np.clip(1 - np.floor(np.log10(abs(value))), 0, most))
    told = f"{value:+.{digits}f}"
    return "0" if float(told) == 0 else told.replace("-", "\N{MINUS SIGN}")


def _name_rows(axes: Axes, card: pd.DataFrame, arms: list[str], places: dict[str, float]) -> None:
    told = [NAMES.get(arm, name_of(arm.partition(": ")[2] or arm)) for arm in arms]
    axes.set_yticks([places[arm] for arm in arms], told, fontsize=7.5)
    for task, some in card.groupby("task", sort=False):
        first = min(places[arm] for arm in some["arm"])
        axes.annotate("both cures" if task == "combined" else f"{name_of(task)}:",
                      (0, first - 0.97), (-5, 0), ("axes fraction", "data"), "offset points",
                      ha="right", va="center", fontsize=7.5, fontweight="bold",
                      annotation_clip=False)
    axes.grid(False)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _name_columns(axes: Axes, card: pd.DataFrame) -> None:
    heads = card.drop_duplicates("axis")
    told = [f"{title}{UNITS.get(unit, '')}" for title, unit in zip(heads["title"], heads["unit"],
                                                                  strict=True)]
    axes.set_xticks(range(len(told)), told, rotation=40, ha="left", fontsize=SMALL + 0.5,
                    rotation_mode="anchor")
    axes.xaxis.tick_top()


def _colour_bar(figure: Figure, axes: Axes, norm: SymLogNorm) -> None:
    bar = figure.colorbar(ScalarMappable(norm, COLOURS), ax=axes, location="bottom", aspect=45,
                          shrink=0.8, pad=0.02)
    ticks = [-LIMIT, -10, -3, -1, 0, 1, 3, 10, LIMIT]
    bar.set_ticks(ticks, labels=[f"{abs(tick):g}" for tick in ticks], fontsize=SMALL)
    bar.ax.xaxis.set_minor_locator(NullLocator())
    bar.outline.set_visible(False)
    bar.set_label("better  \N{LEFTWARDS ARROW}  change in spreads of the base models  "
                  "\N{RIGHTWARDS ARROW}  worse;  pale: no evidence\n"
                  "numbers: the change, of shares in points;  framed: what the task was about",
                  fontsize=7.5)


def cures(rows: pd.DataFrame) -> Figure:
    """What is left of both biases, one point a cure or combination; larger points harmed more.

    Points with a ring are Pareto-best: no other leaves less of both biases and harms less.

    Parameters
    ----------
    rows : DataFrame
        From `lib.chapters.interactions.interactions`: arm, metric, value, low, high, pareto.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.6))
    arms = arms_of(rows)
    for arm in arms:
        own = rows[rows["arm"] == arm].set_index("metric")
        _point(axes, own, look_of(arms, arm) | {"label": NAMES.get(arm, name_of(arm))})
    axes.plot([], [], **RING, markersize=9, label="Pareto-best")
    for line in (axes.axhline, axes.axvline):
        line(0, color=GREY, linewidth=1, zorder=1)
    axes.set(xlabel=label_of("excess_left"), ylabel=label_of("slope_left"),
             title="best: where the lines cross")
    legend(figure)
    figure.legends[0].set_title("worst harm elsewhere, in\nspreads of the base models", {"size": 8})
    return figure


def _point(axes: Axes, own: pd.DataFrame, look: dict[str, Any]) -> None:
    """One cure with both intervals, its harm behind its name; a ring where it is Pareto-best."""
    x, y, harm = (own.loc[[m]] for m in ("excess_left", "slope_left", "worst_harm"))
    harm = float(harm["value"].iloc[0])
    told = f"{harm:.0f}" if harm >= 10 else f"{harm:.2g}"
    look, size = look | {"label": f"{look['label']} ({told})"}, _size(harm)
    axes.errorbar(x["value"], y["value"], xerr=whiskers(x), yerr=whiskers(y), capsize=2,
                  linestyle="none", markersize=size, **look)
    if own["pareto"].all():
        axes.plot(x["value"], y["value"], **RING, markersize=size + 6, zorder=1.8)


def _size(harm: float) -> float:
    """Diameter of a point: 4 without harm, 9 from the limit of the colours on."""
    return 4 + 5 * np.log1p(min(harm, LIMIT)) / np.log1p(LIMIT)
