"""Series as their styles show them, and the three rational forecasts of every window.

Forecasts are computed from the **displayed** numbers of a window and from nothing else of the
series, so that every label can be repeated from its row alone.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from lib.errors import InvalidValueError
from lib.forecasting.learning import least_squares_shown
from lib.instructions.processes import Cell, bayes, segment
from lib.instructions.styles import Style, read_styles

if TYPE_CHECKING:
    from lib.settings import ForecastSettings

HORIZONS = (1, 2)
DIGITS = 8
"""Decimals of stored forecasts: the same on every machine, whatever its last binary digits."""
MAX_TRIES = 200


@dataclass(frozen=True)
class Panel:
    """Series of one cell.

    Attributes
    ----------
    styles : list of Style
        One a series.
    mu, sigma : ndarray, shape (series,)
        In the unit of the style.
    values : ndarray, shape (series, length)
        Displayed numbers, from period 0 to the end of the split's stretch of time.
    """

    styles: list[Style]
    mu: np.ndarray
    sigma: np.ndarray
    values: np.ndarray


def draw_panel(cell: Cell, position: int, given: "ForecastSettings", seed: int) -> Panel:
    """The series of a cell; `position` among the cells decides which style comes first.

    Starting elsewhere in every cell, few series still use all styles.
    """
    rng = np.random.default_rng([seed, crc32(cell.name.encode())])
    styles = read_styles(held_out=cell.split == "test")
    own = [styles[(position + k) % len(styles)] for k in range(given.series)]
    mu = np.array([rng.choice(style.means) for style in own])
    sigma = np.array([rng.choice(style.sigmas) for style in own])
    _, end = segment(cell.split, given.history, given.rounds)
    return Panel(own, mu, sigma, _displayed(cell, own, mu, sigma, end, rng))


def _displayed(
    cell: Cell,
    styles: list[Style],
    mu: np.ndarray,
    sigma: np.ndarray,
    length: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Rounded series of shape (series, length); one that leaves its range is drawn anew."""
    low, high, decimals = (np.array([getattr(style, name) for style in styles])[:, None]
                           for name in ("low", "high", "decimals"))
    values, ticks = np.empty((len(styles), length)), 10.0**decimals
    wrong = np.full(len(styles), True)
    for _ in range(MAX_TRIES):
        z = cell.draw(int(wrong.sum()), length, rng)
        exact = mu[wrong, None] + sigma[wrong, None] * z
        values[wrong] = np.rint(exact * ticks[wrong]) / ticks[wrong] + 0.0  # no negative zero
        wrong = ((values < low) | (values > high)).any(axis=1)
        if not wrong.any():
            return values
    raise InvalidValueError(
        "series that stay within the range of their style", f"{cell.name} over {length} periods",
        "lower forecasting.rounds or forecasting.history, or widen low and high in "
        "data/instructions.yml",
    )


def forecasts(
    cell: Cell, windows: np.ndarray, mu: np.ndarray, sigma: np.ndarray
) -> dict[int, dict[str, np.ndarray]]:
    """Forecasts of every window by horizon and column, in the unit of its style.

    Parameters
    ----------
    windows : ndarray, shape (rows, history)
    mu, sigma : ndarray, shape (rows,)
    """
    z = (windows - mu[:, None]) / sigma[:, None]
    learned = bayes(z, cell.process, HORIZONS)
    return {
        h: {
            "forecast": np.round(mu + sigma * cell.path(z, h)[:, -1], DIGITS),
            "forecast_bayes": np.round(mu + sigma * learned[k], DIGITS),
            "forecast_least_squares": np.round(least_squares_shown(windows, h), DIGITS),
        }
        for k, h in enumerate(HORIZONS)
    }
