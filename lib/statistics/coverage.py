"""Do the intervals over bases hold the truth? Studies with planted shares, a thousand at a time.

Arms keep refusals (*robust*: .98 of them, by the thing asked for, by base, and by both together),
or lose them in a part of the runs (*fragile*: a coin for each base, and nearly the same one for its
seeds). Every study goes through `lib.statistics.bases`, as the results of the book do.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

from lib.forecasting.processes import Seed
from lib.statistics.bases import RUN_COLUMNS, broken, changes, over_bases

THINGS, QUESTIONS = 44, 3
"""Things asked for, in so many questions each."""
INTACT, BROKEN = 0.97, 0.01
"""Refusals of a fragile arm's runs before and after."""
CONCENTRATION = 0.6
"""Of a base's own chance to break (beta): its seeds correlate by 1 / 1.6."""
SPREADS = {"thing": 1.0, "base": 0.4, "both": 1.0}
"""Standard deviations of logits: of a thing on all bases, of a base, of a thing on one base."""

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


@dataclass(frozen=True)
class Arm:
    """What fine-tuning did: broke a share of the runs, or left refusals at ``kept``."""

    name: str
    breaks: float = 0.0
    kept: float = 0.98


ARMS = (Arm("half of the runs break", 0.5), Arm("one run in five breaks", 0.2),
        Arm("one run in twenty breaks", 0.05), Arm("none breaks, .98 is kept"),
        Arm("none breaks, .90 is kept", kept=0.9))


def base_coverage(
    arms: Iterable[Arm], designs: Iterable[tuple[int, int]], studies: int, *, seed: int
) -> pd.DataFrame:
    """Share of simulated studies whose interval holds the truth, and mean width.

    One row an arm, design (bases, seeds) and metric: the level on new things and bases (of a single
    base, on new things), the change on the same things, and the share of broken runs.
    """
    rows = []
    for i, arm in enumerate(arms):
        for bases, seeds in designs:
            runs, truths = simulate_runs(
                arm, bases, seeds, studies, seed=np.random.SeedSequence([seed, i, bases, seeds]))
            rows += [{"arm": arm.name, "bases": bases, "seeds": seeds, "metric": metric,
                      "studies": studies, **found} for metric, found in _covered(runs, truths)]
    return pd.DataFrame(rows)


def _covered(runs: pd.DataFrame, truths: dict[str, np.ndarray]) -> Iterable[tuple[str, dict]]:
    tuned = runs[runs["arm"] == "tuned"]
    tables = {"refusal_rate": tuned, "refusal_rate_change": changes(runs),
              "broken_share": broken(runs)}
    for metric, truth in truths.items():
        found = over_bases(tables[metric])
        held = (found["low"] <= truth) & (truth <= found["high"])
        yield metric, {"coverage": held.mean(), "width": (found["high"] - found["low"]).mean()}


def simulate_runs(
    arm: Arm, bases: int, seeds: int, studies: int, *, seed: Seed
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Run table with a condition a study, arms ``base`` and ``tuned``; the truths by metric."""
    rng = np.random.default_rng(seed)
    simulate = _fragile if arm.breaks else _robust
    before, after, truths = simulate(arm, bases, seeds, studies, rng)
    return pd.concat([_runs(before, "base"), _runs(after, "tuned")], ignore_index=True), truths


def _fragile(
    arm: Arm, bases: int, seeds: int, studies: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    chance = rng.beta(arm.breaks * CONCENTRATION, (1 - arm.breaks) * CONCENTRATION,
                      (studies, bases, 1))
    fell = rng.random((studies, bases, seeds)) < chance
    p = np.where(fell, BROKEN, INTACT)[..., None]
    after = rng.binomial(QUESTIONS, p, (studies, bases, seeds, THINGS))
    before = rng.binomial(QUESTIONS, INTACT, (studies, bases, 1, THINGS))
    change = arm.breaks * (BROKEN - INTACT)
    return before, after, {"refusal_rate": INTACT + change, "refusal_rate_change": change,
                           "broken_share": arm.breaks}


def _robust(
    arm: Arm, bases: int, seeds: int, studies: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, dict[str, float | np.ndarray]]:
    thing = rng.normal(0, SPREADS["thing"], (studies, 1, 1, THINGS))
    base = rng.normal(0, SPREADS["base"], (studies, bases, 1, 1))
    arms, means = [], []
    for level, runs in ((0.99, 1), (arm.kept, seeds)):
        both = rng.normal(0, SPREADS["both"], (studies, bases, runs, THINGS))
        logits = _logit(level) + thing
        arms.append(rng.binomial(QUESTIONS, expit(logits + base + both)))
        means.append(_over_normal(logits, np.hypot(SPREADS["base"], SPREADS["both"])))
    if bases == 1:
        # Its interval is over things, and about this base.
        told = _over_normal(_logit(arm.kept) + base[:, 0, 0, 0],
                            np.hypot(SPREADS["thing"], SPREADS["both"]))
        return *arms, {"refusal_rate": told}
    change = (means[1] - means[0]).mean(axis=(1, 2, 3))
    return *arms, {"refusal_rate": arm.kept, "refusal_rate_change": change}


def _over_normal(logits: np.ndarray | float, sd: float) -> np.ndarray:
    """Mean of ``expit(logits + sd z)`` over a standard normal z."""
    return expit(np.asarray(logits)[..., None] + sd * NODES) @ WEIGHTS


@cache
def _logit(level: float) -> float:
    """Mean logit at which the mean share is ``level``."""
    sd = float(np.sqrt(sum(s**2 for s in SPREADS.values())))
    return brentq(lambda logit: float(_over_normal(logit, sd)) - level, -20, 20)


def _runs(answers: np.ndarray, arm: str) -> pd.DataFrame:
    """Run table of counts ``(studies, bases, seeds, things)``; errors as those of `rate`."""
    shares = answers / QUESTIONS
    value = shares.mean(axis=-1)
    n = THINGS * QUESTIONS
    between = QUESTIONS * shares.var(axis=-1) * THINGS / (THINGS - 1)
    within = QUESTIONS * (shares * (1 - shares)).sum(axis=-1) / (n - THINGS)
    with np.errstate(invalid="ignore"):
        icc = (between - within) / (between + (QUESTIONS - 1) * within)
    effective = n / np.maximum(1, 1 + (QUESTIONS - 1) * np.nan_to_num(icc, nan=1.0))
    study, base, run = np.indices(value.shape)
    columns = {"arm": arm, "condition": study.ravel(), "metric": "refusal_rate",
               "base": base.ravel() + 1, "seed": run.ravel() + (arm != "base"),
               "value": value.ravel(), "se": np.sqrt(value * (1 - value) / effective).ravel(),
               "df": THINGS - 1.0, "n": n, "least": 0.0, "most": 1.0}
    return pd.DataFrame(columns)[RUN_COLUMNS]
