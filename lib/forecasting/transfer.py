"""Transfer sets: one-change departures from what is taught, each with its rational answers.

Corrections are taught on AR(1) histories with rho in `TRAINING_GRID`, a mean of 100, the spreads of
the world and twelve numbers shown, mostly one step ahead. Every set changes one of these, or the
process: a row of `REGISTRY` builds its items and holds two benchmarks, ``rational``, who knows the
process, and ``feasible``, the best that the numbers shown allow under a stated prior.

All numbers shown, and the outcomes, are integers of the display scale 0..199. Series that leave
the scale are drawn anew (column ``rejected``); the benchmarks ignore that truncation.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from zlib import crc32

import numpy as np
import pandas as pd

from lib.errors import UnknownNameError, require
from lib.forecasting import bayes as families
from lib.forecasting.bayes import ar1_path, ar2_path, break_path, local_level_path, ma1_path
from lib.forecasting.frames import CENTRE, HIGH, LOW, ar1_items, displayed, panel_items, shown
from lib.forecasting.learners import TRAINING_GRID, Path, along, bayes, full_information
from lib.forecasting.processes import ar1, ar2, arch1, local_level, ma1, regime_break

Benchmark = Callable[[pd.DataFrame], pd.DataFrame]

STATIONARY = TRAINING_GRID[:-1]
UNSEEN = (0.1, 0.3, 0.5, 0.7, 0.9)
NEGATIVE = (-0.6, -0.4, -0.2)
WORLD_GRID = tuple(k / 10 for k in range(11))
"""Prior of the feasible AR(1) forecaster: the persistences of ``data/sandbox/forecasts.yml``."""
SIGNED_GRID = tuple(k / 10 for k in range(-9, 11))


@dataclass(frozen=True)
class Design:
    """Size of a set of items, and the settings that it may depart from, in display units."""

    series: int = 100  # in each condition, the clusters
    rounds: int = 4
    history: int = 12
    sigma: float = 8.0  # of the innovations
    mu: float = 100.0
    seed: int = 1


@dataclass(frozen=True)
class TransferSet:
    """One row of the registry; ``rational`` and ``feasible`` fill a frame of this set."""

    build: Callable[[Design], pd.DataFrame]
    rational: Benchmark
    feasible: Benchmark


def transfer_items(name: str, design: Design) -> pd.DataFrame:
    """Items of one set, with column ``set``; sets share no random number, nor do seeds."""
    require(name in REGISTRY, f"one of {', '.join(REGISTRY)}", f"{name!r}",
            "see lib.forecasting.transfer", UnknownNameError)
    seed = crc32(f"{name} {design.seed}".encode())
    frame = REGISTRY[name].build(replace(design, seed=seed))
    return frame.assign(set=name, series=f"{name}-s{design.seed}:" + frame["series"])


def ar1_variant(
    design: Design, rhos: tuple[float, ...] = STATIONARY, spread: float = 1.0, shift: float = 0.0,
    length: float = 1.0, horizon: int = 1, factor: float = 1.0,
    scale: tuple[int, int] = (LOW, HIGH),
) -> pd.DataFrame:
    """AR(1) items with one setting changed; ``spread``, ``length`` and ``factor`` multiply."""
    frame = ar1_items(
        rhos, design.series, design.rounds, round(length * design.history),
        spread * design.sigma, design.mu + shift, *scale, horizon=horizon, seed=design.seed,
    )
    return frame if factor == 1 else affine(frame, factor, design.mu)


@dataclass(frozen=True)
class Departure:
    """A process other than AR(1) with its two answers, one step ahead; ``rho`` is missing."""

    draw: Callable[[Design, int, np.random.Generator], np.ndarray]  # to (series, length)
    path: Callable[[float, float, int], Path]  # of mean, sigma and number of values shown
    family: families.Family  # what the Bayesian learner considers
    knows: str  # what `path` knows, in words

    def build(self, design: Design) -> pd.DataFrame:
        """Items of `design`."""
        length, rng = design.history + design.rounds + 1, np.random.default_rng(design.seed)
        values, rejected = displayed(lambda: self.draw(design, length, rng), self.knows)
        ids = [f"{k:04d}" for k in range(design.series)]
        known = {"mu": design.mu, "sigma": design.sigma, "rejected": rejected}
        return panel_items(values, design.history, ids, **known)

    def rational(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Full information: the whole past of the series, and the process itself."""
        mu, sigma = (float(frame[column].iloc[0]) for column in ("mu", "sigma"))
        return along(frame, self.path(mu, sigma, shown(frame).shape[1]))

    def feasible(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Posterior mean over the family, given the numbers shown."""
        return families.family_bayes(frame, self.family)


def break_position(history: int) -> int:
    """First value of a new regime: at least three of those shown come from it."""
    return history - 2


def law_break(before: float, after: float, jump: float, family: families.Family) -> Departure:
    """AR(1) whose rho changes, and whose mean moves by ``jump`` sigmas, at `break_position`."""
    return Departure(
        lambda d, n, rng: regime_break(
            before, after, break_position(d.history), d.series, n, d.sigma, d.mu,
            d.mu + jump * d.sigma, seed=rng,
        ),
        lambda mu, sigma, n: partial(
            break_path, rho_before=before, rho_after=after, break_at=break_position(n), mu=mu,
            mu_after=mu + jump * sigma,
        ),
        family,
        f"both means, rho {before:g} then {after:g}, date of the break",
    )


AR2 = Departure(
    lambda d, n, rng: ar2(1.2, -0.5, d.series, n, d.sigma, d.mu, seed=rng),
    lambda mu, sigma, n: partial(ar2_path, phi1=1.2, phi2=-0.5, mu=mu),
    families.ar2_family,
    "mean, phi1 = 1.2, phi2 = -0.5",
)
"""Hump-shaped: first autocorrelation 0.8, and yet a rise is followed by a partial fall."""

MA1 = Departure(
    lambda d, n, rng: ma1(0.8, d.series, n, d.sigma, d.mu, seed=rng),
    lambda mu, sigma, n: partial(ma1_path, theta=0.8, mu=mu),
    families.ma1_family,
    "mean, theta = 0.8",
)

LOCAL_LEVEL = Departure(
    lambda d, n, rng: local_level(d.sigma / 2, d.sigma, d.series, n, d.mu, seed=rng),
    lambda mu, sigma, n: partial(local_level_path, level_sd=sigma / 2, noise_sd=sigma),
    families.local_level_family,
    "both spreads, not where the level starts",
)

ARCH = Departure(
    lambda d, n, rng: arch1(d.sigma**2 / 2, 0.5, d.series, n, d.mu, seed=rng),
    lambda mu, sigma, n: partial(ar1_path, rho=0.0, mu=mu),
    families.ar1_family,
    "mean; nothing else helps",
)

DRIFT = Departure(
    lambda d, n, rng: ar1(1.0, d.series, n, d.sigma, d.mu, seed=rng) + d.sigma / 4 * np.arange(n),
    lambda mu, sigma, n: partial(families.drift_path, drift=sigma / 4),
    families.drift_family,
    "unit root, drift of a quarter sigma",
)


def affine(frame: pd.DataFrame, factor: float, centre: float = CENTRE) -> pd.DataFrame:
    """Items with every number x replaced by ``centre + factor (x - centre)``; no forecasts."""

    def move(values: np.ndarray) -> np.ndarray:
        return centre + factor * (np.asarray(values, dtype=float) - centre)

    columns = ("history", "previous_history")
    moved = {c: _integers(move(shown(frame, c))) for c in columns}
    return frame.drop(columns=["forecast", "previous_forecast"], errors="ignore").assign(
        **{c: windows.tolist() for c, windows in moved.items()},
        x=moved["history"][:, -1],
        outcome=_integers(move(frame["outcome"])),
        mu=move(frame["mu"]),
        sigma=abs(factor) * frame["sigma"],
        factor=float(factor),
        centre=float(centre),
    )


def _integers(values: np.ndarray) -> np.ndarray:
    """Refuses what rounding or clipping would change: the correspondence must be exact."""
    rounded = np.rint(values)
    inside = (rounded >= LOW).all() and (rounded <= HIGH).all()
    require(inside and np.allclose(values, rounded), f"integers within {LOW}..{HIGH} after the map",
            f"values from {values.min():g} to {values.max():g}",
            "draw the items on a narrower scale (`low`, `high`), or map by an integer factor")
    return rounded.astype(int)


def equivariance_gap(frame: pd.DataFrame, transformed: pd.DataFrame) -> pd.DataFrame:
    """Forecasts of `affine` items, mapped back, less those of the items themselves.

    ``gap = c + (F' - c) / k - F`` in the units and order of ``frame``: zero where equivariant.
    """
    keys = ["series", "t"]
    moved = transformed[[*keys, "factor", "centre", "forecast", "x"]]
    both = frame[[*keys, "rho", "x", "forecast"]].merge(
        moved, on=keys, how="left", suffixes=("", "_moved"), validate="one_to_one"
    )
    back = {c: both["centre"] + (both[f"{c}_moved"] - both["centre"]) / both["factor"]
            for c in ("x", "forecast")}
    require(len(frame) == len(transformed) and np.allclose(back["x"], both["x"]),
            "the same items twice, the second time transformed",
            f"{len(frame)} and {len(transformed)} rows whose numbers do not correspond",
            "build the second frame with `affine` from the first")
    gap = (back["forecast"] - both["forecast"]).to_numpy()
    return both[[*keys, "rho", "x", "forecast"]].assign(gap=gap).set_index(frame.index)


def _ar1(grid: tuple[float, ...] = WORLD_GRID, **changes: object) -> TransferSet:
    return TransferSet(
        partial(ar1_variant, **changes), full_information, partial(bayes, rho_grid=grid)
    )


REGISTRY: dict[str, TransferSet | Departure] = {
    "trained": _ar1(rhos=TRAINING_GRID),  # nothing new: the reference row
    "unseen_persistence": _ar1(rhos=UNSEEN),  # between the trained ones
    "negative_persistence": _ar1(SIGNED_GRID, rhos=NEGATIVE),  # series that alternate
    "scale_half": _ar1(spread=0.5),
    "scale_double": _ar1(spread=2.0),
    "history_half": _ar1(length=0.5),  # half as many numbers shown
    "history_double": _ar1(length=2.0),
    "horizon_2": _ar1(horizon=2),  # two steps ahead
    "level_low": _ar1(shift=-20.0),
    "level_high": _ar1(shift=20.0),
    # The scales keep both the items and their images on 0..199.
    "sign_flipped": _ar1(factor=-1.0, scale=(1, 199)),  # the mirror image 200 - x
    "scaled": _ar1(spread=0.5, factor=2.0, scale=(51, 149)),  # distances from 100 doubled
    "random_walk": _ar1(rhos=(1.0,)),  # shocks that last for ever
    "random_walk_drift": DRIFT,  # shocks that last, and a trend
    "ar2": AR2,  # two lags: rises that overshoot
    "ma1": MA1,  # shocks gone after two periods
    "local_level": LOCAL_LEVEL,  # a moving level behind noise
    "break_to_low": law_break(0.9, 0.1, 0.0, families.persistence_break_family),
    "break_to_high": law_break(0.1, 0.9, 0.0, families.persistence_break_family),
    "break_in_mean": law_break(0.4, 0.4, 3.0, families.mean_break_family),  # by three sigmas
    "arch": ARCH,  # calm and storms, mean unforecastable
}
"""Name to set. Adding one is one row here, and a `Departure` if its process is new."""
