"""Processes that no correction is taught, each with the answer of someone who knows it.

A `Departure` draws series on the display scale and carries two benchmarks: the path of its exact
conditional expectations, and the family that a Bayesian who sees only the numbers shown would
learn in. Sizes are in units of the design's ``sigma`` around its ``mu``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from lib.forecasting import families
from lib.forecasting.benchmarks import Path, along
from lib.forecasting.conditional import (
    ar1_path,
    ar2_path,
    break_path,
    local_level_path,
    ma1_path,
)
from lib.forecasting.frames import displayed, panel_items, shown
from lib.forecasting.processes import ar1, ar2, arch1, local_level, ma1, regime_break


@dataclass(frozen=True)
class Design:
    """Size of a set of items, and the settings that it may depart from.

    Attributes
    ----------
    series : int
        Series in each condition, the clusters.
    rounds, history : int
        Rows per series, and numbers shown in each.
    sigma, mu : float
        Standard deviation of the innovations and mean, display units.
    seed : int
    """

    series: int = 100
    rounds: int = 4
    history: int = 12
    sigma: float = 8.0
    mu: float = 100.0
    seed: int = 1


@dataclass(frozen=True)
class Departure:
    """A process with its two answers.

    Attributes
    ----------
    draw : callable
        Design, length and generator to a panel ``(series, length)``.
    path : callable
        Mean, sigma and number of values shown to the path of exact expectations.
    family : callable
        What the Bayesian learner considers; see `lib.forecasting.families`.
    knows : str
        What ``path`` knows, in words.
    """

    draw: Callable[[Design, int, np.random.Generator], np.ndarray]
    path: Callable[[float, float, int], Path]
    family: families.Family
    knows: str

    def items(self, design: Design) -> pd.DataFrame:
        """Items of `design`, one step ahead; ``rho`` is missing."""
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
    """First value of a new regime: at least three of those shown come from it, and more later.

    Row t shows ``t - break_position(history) + 1`` values of the new regime.
    """
    return history - 2


def persistence_break(before: float, after: float) -> Departure:
    """AR(1) whose rho changes at `break_position`."""
    return Departure(
        lambda d, n, rng: regime_break(
            before, after, break_position(d.history), d.series, n, d.sigma, d.mu, seed=rng
        ),
        lambda mu, sigma, n: partial(
            break_path, rho_before=before, rho_after=after, break_at=break_position(n), mu=mu
        ),
        families.persistence_break_family,
        f"mean, rho {before:g} then {after:g}, date of the break",
    )


def mean_break(rho: float, jump: float) -> Departure:
    """AR(1) whose mean moves by ``jump`` sigmas at `break_position`; ``mu`` is the old one."""
    return Departure(
        lambda d, n, rng: regime_break(
            rho, rho, break_position(d.history), d.series, n, d.sigma, d.mu,
            d.mu + jump * d.sigma, seed=rng,
        ),
        lambda mu, sigma, n: partial(
            break_path, rho_before=rho, rho_after=rho, break_at=break_position(n), mu=mu,
            mu_after=mu + jump * sigma,
        ),
        families.mean_break_family,
        f"rho {rho:g}, both means, date of the break",
    )  # fmt: skip


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
