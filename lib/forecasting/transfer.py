"""What transfers: named sets of items outside the training distribution, each with its answers.

Corrections are taught on AR(1) histories with rho in `TRAINING_GRID`, a mean of 100, the spreads of
the world and twelve numbers shown, mostly one step ahead. Every set changes one of these, or the
process. A row of `REGISTRY` says how its items are built, what they test, and its two
rational benchmarks: ``rational`` knows the process, ``feasible`` is the best that the numbers
shown allow under a stated prior.

All numbers shown, and the outcomes, are integers of the display scale 0..199. Series that leave
the scale are drawn anew (column ``rejected``); the benchmarks ignore that truncation.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from zlib import crc32

import pandas as pd

from lib.errors import UnknownNameError
from lib.forecasting import departures
from lib.forecasting.benchmarks import TRAINING_GRID, bayes, full_information
from lib.forecasting.departures import Departure, Design
from lib.forecasting.equivariance import affine
from lib.forecasting.frames import ar1_items

Benchmark = Callable[[pd.DataFrame], pd.DataFrame]

STATIONARY = TRAINING_GRID[:-1]
UNSEEN = (0.1, 0.3, 0.5, 0.7, 0.9)
NEGATIVE = (-0.6, -0.4, -0.2)
WORLD_GRID = tuple(k / 10 for k in range(11))
"""Prior of the feasible AR(1) forecaster: the persistences of ``data/sandbox/forecasts.yml``."""
SIGNED_GRID = tuple(k / 10 for k in range(-9, 11))


@dataclass(frozen=True)
class TransferSet:
    """One row of the registry; ``rational`` and ``feasible`` fill a frame of this set."""

    name: str
    tests: str
    build: Callable[[Design], pd.DataFrame]
    rational: Benchmark
    feasible: Benchmark
    rational_knows: str
    feasible_is: str


def transfer_set(name: str) -> TransferSet:
    """Entry ``name`` of the registry.

    Raises
    ------
    UnknownNameError
        A name that `transfer_sets` does not list.
    """
    if name not in REGISTRY:
        raise UnknownNameError(
            f"one of {', '.join(REGISTRY)}", f"{name!r}", "see lib.forecasting.transfer"
        )
    return REGISTRY[name]


def transfer_items(name: str, design: Design | None = None) -> pd.DataFrame:
    """Items of one set: the columns of `lib.forecasting.frames`, and ``set``.

    ``rho`` is missing where the process has none. Sets share no random number, nor do seeds.
    """
    design = design or Design()
    seed = crc32(f"{name} {design.seed}".encode())
    frame = transfer_set(name).build(replace(design, seed=seed))
    return frame.assign(set=name, series=f"{name}-s{design.seed}:" + frame["series"])


def transfer_sets() -> pd.DataFrame:
    """One row a set: its name, what it tests and what its benchmarks know."""
    columns = ["name", "tests", "rational_knows", "feasible_is"]
    return pd.DataFrame([{c: getattr(row, c) for c in columns} for row in REGISTRY.values()])


def ar1_variant(
    design: Design,
    rhos: tuple[float, ...] = STATIONARY,
    spread: float = 1.0,
    shift: float = 0.0,
    length: float = 1.0,
    horizon: int = 1,
    factor: float = 1.0,
    scale: tuple[int, int] = (0, 199),
) -> pd.DataFrame:
    """AR(1) items with one setting of the design changed.

    Parameters
    ----------
    spread, length : float
        Factors on the design's ``sigma`` and on its number of values shown.
    shift : float
        Added to the mean, display units.
    factor : float
        Map the finished items by `affine`; the inverse map gives the untransformed ones back.
    scale : tuple of int
        Integers that the series must stay within, so that the map is exact.
    """
    frame = ar1_items(
        rhos, design.series, design.rounds, round(length * design.history),
        spread * design.sigma, design.mu + shift, *scale, horizon=horizon, seed=design.seed,
    )  # fmt: skip
    return frame if factor == 1 else affine(frame, factor, design.mu)


def _ar1(
    name: str, tests: str, grid: tuple[float, ...] = WORLD_GRID, **changes: object
) -> TransferSet:
    prior = f"Bayes: rho in {grid[0]:g}(.1){grid[-1]:g}, mean and spread known"
    return TransferSet(
        name, tests, partial(ar1_variant, **changes), full_information,
        partial(bayes, rho_grid=grid), "mean, rho", prior,
    )  # fmt: skip


def _other(name: str, tests: str, process: Departure) -> TransferSet:
    prior = "Bayes: " + (process.family.__doc__ or "").split("\n")[0].replace("`", "").rstrip(".")
    return TransferSet(
        name, tests, process.items, process.rational, process.feasible, process.knows, prior
    )


_ROWS = (
    _ar1("trained", "nothing new: the reference row", rhos=TRAINING_GRID),
    _ar1("unseen_persistence", "persistence between the trained ones", rhos=UNSEEN),
    _ar1("negative_persistence", "series that alternate", SIGNED_GRID, rhos=NEGATIVE),
    _ar1("scale_half", "half the spread", spread=0.5),
    _ar1("scale_double", "twice the spread", spread=2.0),
    _ar1("history_half", "half as many numbers shown", length=0.5),
    _ar1("history_double", "twice as many numbers shown", length=2.0),
    _ar1("horizon_2", "two steps ahead", horizon=2),
    _ar1("level_low", "mean lower by 20", shift=-20.0),
    _ar1("level_high", "mean higher by 20", shift=20.0),
    # The scales keep both the items and their images on 0..199.
    _ar1("sign_flipped", "the mirror image 200 - x", factor=-1.0, scale=(1, 199)),
    _ar1("scaled", "distances from 100 doubled", spread=0.5, factor=2.0, scale=(51, 149)),
    _ar1("random_walk", "shocks that last for ever", rhos=(1.0,)),
    _other("random_walk_drift", "shocks that last, and a trend", departures.DRIFT),
    _other("ar2", "two lags: rises that overshoot", departures.AR2),
    _other("ma1", "shocks gone after two periods", departures.MA1),
    _other("local_level", "a moving level behind noise", departures.LOCAL_LEVEL),
    _other("break_to_low", "persistence falls from .9 to .1",
           departures.persistence_break(0.9, 0.1)),
    _other("break_to_high", "persistence rises from .1 to .9",
           departures.persistence_break(0.1, 0.9)),
    _other("break_in_mean", "mean jumps by three sigmas", departures.mean_break(0.4, 3.0)),
    _other("arch", "calm and storms, mean unforecastable", departures.ARCH),
)  # fmt: skip

REGISTRY = {row.name: row for row in _ROWS}
"""Name to set. Adding one is one row here, and a `Departure` if its process is new."""
