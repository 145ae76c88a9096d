"""The workbook's one style: page, colours, markers, names; and panels laid out by it.

Arms differ by colour (Okabe and Ito 2008) **and** marker, for colour blindness and grey prints.
"""

import math
from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 6.5
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
GREY = "#8a8a8a"
BASE = "base"
"""Arm of the model as it was before."""
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

STYLE = {
    "figure.dpi": 110, "savefig.dpi": 200, "figure.figsize": (WIDTH, 3.4),
    "figure.constrained_layout.use": True,
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8.5,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": "#e6e6e6", "grid.linewidth": 0.6,
    "axes.prop_cycle": plt.cycler(color=PALETTE), "lines.linewidth": 1.4, "lines.markersize": 4.5,
    "legend.frameon": False, "svg.fonttype": "path",
}


def use_style() -> None:
    """Set the workbook's style over matplotlib's defaults: a reader's matplotlibrc is left out."""
    plt.style.use(["default", STYLE])


def arms_of(frame: pd.DataFrame) -> list[Any]:
    """Arms in order of appearance."""
    return list(dict.fromkeys(frame["arm"]))


def look_of(arms: list[Any], arm: Any) -> dict[str, Any]:
    """Colour, marker and label of an arm: the base is black, all others go by their place."""
    others = [other for other in arms if other != BASE]
    place = 6 if arm == BASE else others.index(arm) % 6
    return {"color": PALETTE[place], "marker": MARKERS[place], "label": name_of(arm)}


def name_of(label: Any) -> str:
    """An arm or condition as words."""
    return f"{label:g}" if isinstance(label, (int, float)) else str(label).replace("_", " ")


def label_of(metric: str) -> str:
    """A metric with its unit; its name where none is known."""
    return LABELS.get(metric, name_of(metric))


def panels(
    groups: Iterable[tuple[Any, Any]], columns: int, height: float, sharey: bool = False
) -> tuple[Figure, list[tuple[Axes, Any, Any]]]:
    """A figure, and the panel of each group (`height` inches) before its name and rows."""
    groups = list(groups)
    columns = min(columns, len(groups))
    lines = math.ceil(len(groups) / columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(WIDTH, lines * height + 0.4), sharey=sharey, squeeze=False
    )
    used, spare = np.split(grid.ravel(), [len(groups)])
    for axes in spare:
        axes.remove()
    return figure, [(axes, *group) for axes, group in zip(used, groups, strict=True)]


def legend(figure: Figure, columns: int | None = None) -> None:
    """The first panel's legend: beside all panels, or under them in so many columns."""
    place = "outside right upper" if columns is None else "outside lower center"
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc=place, ncols=columns or 1)
