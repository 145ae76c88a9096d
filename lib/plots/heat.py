"""Pictures of a metric over two numbers at once: a grid of settings, or places over time."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from lib.plots.estimates import LABELS, name_of, panels_of

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
