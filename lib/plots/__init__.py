"""Every picture of the workbook: one style, and one function an exhibit.

The functions that draw estimates take rows as exhibits store them (arm, condition, metric, value,
low, high). `estimates` draws coefficients, series and comparisons by arm; `curves` draws what
depends on a dose, a position or a second metric; `heat` what depends on two numbers at once.
"""

from lib.plots.curves import calibration, curves, frontier
from lib.plots.estimates import (
    LABELS,
    MARKERS,
    PALETTE,
    PERSISTENCE,
    WIDTH,
    before_after,
    coefficient_bars,
    coverage,
    distribution,
    histories,
    persistence_curve,
    scatter_truth,
    series_grid,
    use_style,
)
from lib.plots.heat import grid_maps, weight_maps

__all__ = [
    "LABELS",
    "MARKERS",
    "PALETTE",
    "PERSISTENCE",
    "WIDTH",
    "before_after",
    "calibration",
    "coefficient_bars",
    "coverage",
    "curves",
    "distribution",
    "frontier",
    "grid_maps",
    "histories",
    "persistence_curve",
    "scatter_truth",
    "series_grid",
    "use_style",
    "weight_maps",
]
