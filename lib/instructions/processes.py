"""Processes behind the numbers, and which of their parameters belong to which split.

Everything is in standard units: a mean of 0 and innovations (of the local level: noise) with a
standard deviation of 1. A style maps a standard series z to ``mu + sigma z``; forecasts map alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lib.errors import InvalidValueError
from lib.forecasting import families
from lib.forecasting.benchmarks import Path
from lib.forecasting.conditional import ar1_path, ar2_path, local_level_path, ma1_path
from lib.forecasting.processes import ar1, ar2, local_level, ma1
from lib.instructions.styles import content

if TYPE_CHECKING:
    from lib.settings import ForecastSettings

SPLITS = ("train", "validation", "test")
PARAMETERS = ("rho", "phi1", "phi2", "theta", "level_ratio")


@dataclass(frozen=True)
class Process:
    """A kind of process: how it is drawn, forecast when known, and learned when not.

    Attributes
    ----------
    draw : callable
        Keyword arguments ``series, length, seed`` and the parameters, to a standard panel.
    path : callable
        Panel, horizon and the parameters to exact conditional expectations.
    family : callable
        Candidates of the Bayesian learner; see `lib.forecasting.families`.
    """

    draw: Callable[..., np.ndarray]
    path: Callable[..., np.ndarray]
    family: families.Family


def _draw_level(level_ratio: float, series: int, length: int, *, seed: object) -> np.ndarray:
    return local_level(level_ratio, 1.0, series, length, seed=seed)


def _level_path(values: np.ndarray, horizon: int, level_ratio: float) -> np.ndarray:
    return local_level_path(values, horizon, level_sd=level_ratio, noise_sd=1.0)


PROCESSES = {
    "ar1": Process(partial(ar1, sigma=1.0), ar1_path, families.ar1_family),
    "ar2": Process(partial(ar2, sigma=1.0), ar2_path, families.ar2_family),
    "ma1": Process(partial(ma1, sigma=1.0), ma1_path, families.ma1_family),
    "local_level": Process(_draw_level, _level_path, families.local_level_family),
}


@dataclass(frozen=True)
class Cell:
    """One process with its parameters, and the split to which all its series belong."""

    process: str
    parameters: dict[str, float]
    split: str

    @property
    def name(self) -> str:
        """Such as ``ar2(phi1=1.2,phi2=-0.5)``."""
        inside = ",".join(f"{name}={value:g}" for name, value in self.parameters.items())
        return f"{self.process}({inside})"

    def draw(self, series: int, length: int, rng: np.random.Generator) -> np.ndarray:
        """Standard panel of shape (series, length)."""
        drawn = PROCESSES[self.process].draw
        return drawn(series=series, length=length, seed=rng, **self.parameters)

    @property
    def path(self) -> Path:
        """Exact conditional expectations of this process."""
        return partial(PROCESSES[self.process].path, **self.parameters)


def cells(forecasting: "ForecastSettings") -> list[Cell]:
    """All cells: AR(1) on the profile's grids, the others on those of the data file.

    Raises
    ------
    InvalidValueError
        Parameters that stand in two splits, or twice in one.
    """
    grids = (forecasting.rhos, forecasting.validation_rhos, forecasting.unseen_rhos)
    declared = {"ar1": {split: [{"rho": rho} for rho in dict.fromkeys(grid)]
                        for split, grid in zip(SPLITS, grids, strict=True)}}
    found = [Cell(process, parameters, split)
             for process, splits in (declared | content()["processes"]).items()
             for split in SPLITS for parameters in splits[split]]
    names = [cell.name for cell in found]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise InvalidValueError(
            "parameters that stand in one split, once", f"{', '.join(sorted(repeated))} repeated",
            "mend the grids in the profile or in data/instructions.yml",
        )
    return found


def segment(split: str, history: int, rounds: int) -> tuple[int, int]:
    """First position of a split's stretch of time, and the first one after it.

    Time is cut into three stretches, for training, validation and test in this order. A stretch
    holds ``rounds`` windows that end one after the other, and the outcomes of the last of them,
    so that neither a window nor an outcome reaches into another stretch.
    """
    length = history + rounds - 1 + 2
    start = SPLITS.index(split) * length
    return start, start + length


def bayes(windows: np.ndarray, process: str, horizons: tuple[int, ...]) -> np.ndarray:
    """Posterior-mean forecasts from standard windows, shape (horizons, rows).

    The parameters are unknown, with equal prior weights on the candidates of the family of
    `process`; mean and sigma are known (as nought and one). As in
    `lib.forecasting.families.family_bayes`.
    """
    candidates = PROCESSES[process].family(0.0, 1.0, windows.shape[1])
    weights = families.family_posterior(windows, candidates)
    each = [[c.path(windows, h)[:, -1] for c in candidates] for h in horizons]
    return np.einsum("rk,hkr->hr", weights, np.array(each))
