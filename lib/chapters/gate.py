"""The release gate in the book: decisions about runs, how often they are wrong, what items decide.

Wrong decisions are counted where the truth is known. The items of a model and its base are taken
for the whole population: its harm is then exact, and samples of items (clusters drawn with
replacement) are decided as the gate would. A budget that allows just that harm is the hardest case.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.measures.budget import Budget, decide
from lib.measures.effects import effect_frames
from lib.measures.measured import by_arm, everyone
from lib.measures.quantities import QUANTITIES, Frames, changes, harm_of
from lib.statistics.bases import RUN_COLUMNS, holm
from lib.statistics.noninferiority import FAIL, OPEN, PASS, overall
from lib.study.design import Run
from lib.study.notebook import Study
from lib.study.streams import stream

Models = Mapping[str, Mapping[Run, object]]
"""Arm to run to model folder."""
VERDICTS = (PASS, OPEN, FAIL)
SMALL = 0.01
"""Harm below which a budget that allows just as much is not looked at."""
WHOLE = "the whole budget"
USED = ("harm_0", "tokens", "x", "share")
"""Columns of items that harms are read of, besides the cluster."""
SIZES = (50, 100, 200, 400, 800)
"""Numbers of items in the power curves."""


def arm_frames(study: Study, arms: Models) -> dict[str, dict[Run, Frames]]:
    """Item frames of every axis, by arm and run; found where the scorecard measured them."""
    return by_arm(arms, effect_frames(study, everyone(arms)))


def gate_table(
    budget: Budget, frames: Mapping[str, Mapping[Run, Frames]], base: int
) -> pd.DataFrame:
    """Exhibit rows of `decide` for every arm on one base, its seeds together.

    Parameters
    ----------
    budget : Budget
    frames : mapping
        From `arm_frames`, the arm ``base`` among them.
    base : int
        Number of the base model.
    """
    parts = []
    for arm, several in frames.items():
        own = [found for run, found in several.items() if run.base == base]
        if arm != "base":
            found = decide(budget, frames["base"][Run(base, 0)], own)
            parts.append(found.assign(arm=arm, condition=found["line"], metric="harm",
                                      bases=1, runs=found["seeds"]))
    return pd.concat(parts, ignore_index=True)


def run_decisions(
    budget: Budget, frames: Mapping[str, Mapping[Run, Frames]]
) -> dict[tuple[str, Run], pd.DataFrame]:
    """`decide` of every run alone, by arm and run: as somebody with one tuned model would.

    Parameters
    ----------
    budget : Budget
    frames : mapping
        From `arm_frames`.
    """
    return {(arm, run): decide(budget, frames["base"][Run(run.base, 0)], [found])
            for arm, several in frames.items() if arm != "base"
            for run, found in several.items()}


def harm_rows(decisions: Mapping[tuple[str, Run], pd.DataFrame]) -> pd.DataFrame:
    """Run table of harms: the condition is the line."""
    parts = [table.assign(arm=arm, condition=table["line"], metric="harm", base=run.base,
                          seed=run.seed) for (arm, run), table in decisions.items()]
    found = pd.concat(parts, ignore_index=True)
    return found.reindex(columns=RUN_COLUMNS).assign(least=-np.inf, most=np.inf, df=np.nan)


def verdict_rows(decisions: Mapping[tuple[str, Run], pd.DataFrame]) -> pd.DataFrame:
    """Run table of verdicts: ``share`` of runs (0 or 1 each) with each; the condition says which.

    Parameters
    ----------
    decisions : mapping
        From `run_decisions`.
    """
    rows = [(arm, verdict, "share", *run, float(overall(table["verdict"]) == verdict), len(table))
            for (arm, run), table in decisions.items() for verdict in VERDICTS]
    table = pd.DataFrame(rows, columns=["arm", "condition", "metric", "base", "seed", "value",
                                        "n"])
    return table.assign(least=0.0, most=1.0).reindex(columns=RUN_COLUMNS)


@dataclass(frozen=True)
class Population:
    """Items whose every change is known, as if there were no others, and their exact harm."""

    line: str
    items: Mapping[str, np.ndarray]  # columns that the harm is read of
    truth: float
    places: list[np.ndarray]  # rows of each cluster

    @classmethod
    def of(cls, line: str, base: Frames, tuned: Frames) -> "Population":
        """A gain is turned into a harm of the same size, so that each line has many truths."""
        quantity = QUANTITIES[line]
        items = changes(quantity, base, [tuned])
        truth = harm_of(quantity, items).value
        turned = items.assign(harm_0=np.sign(truth) * items["harm_0"])
        kept = {name: turned[name].to_numpy(float) for name in USED if name in turned}
        places = list(turned.groupby("cluster", sort=False).indices.values())
        return cls(line, kept, abs(truth), places)

    @property
    def size(self) -> int:
        """Number of items."""
        return len(self.items["harm_0"])

    def sample(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """About `n` of the items: clusters drawn with replacement, each counted as a new one."""
        clusters = max(2, round(n * len(self.places) / self.size))
        drawn = [self.places[i] for i in rng.integers(len(self.places), size=clusters)]
        names = np.repeat(np.arange(clusters), [len(rows) for rows in drawn])
        rows = np.concatenate(drawn)
        return pd.DataFrame({"cluster": names} | {name: column[rows]
                                                  for name, column in self.items.items()})


def populations(
    budget: Budget, frames: Mapping[str, Mapping[Run, Frames]]
) -> dict[tuple[str, Run], list[Population]]:
    """Of each arm and run, every line."""
    return {(arm, run): [Population.of(line.metric, frames["base"][Run(run.base, 0)], tuned)
                         for line in budget.lines]
            for arm, several in frames.items() if arm != "base"
            for run, tuned in several.items()}


def error_rows(
    budget: Budget, known: Mapping[tuple[str, Run], list[Population]], draws: int, seed: int
) -> pd.DataFrame:
    """Run table: how often a line that harms just as much as allowed passes, and fails.

    Metrics ``wrong_pass`` and ``wrong_fail``, the line as arm: each tested alone; and of ``the
    whole budget``, where all lines are at their limit and one that fails is enough. Harms below
    `SMALL` have no value: a budget that allows so little would be about nothing.

    Parameters
    ----------
    known : mapping
        From `populations`.
    draws : int
        Samples of each arm and run, as large as what was measured.
    """
    made = []
    for place, ((_, run), several) in enumerate(known.items()):
        rng = stream(seed, "gate errors", *run, place)
        for _ in range(draws):
            made += [(run, *one) for one in _decisions(budget, several, rng)]
    told = pd.DataFrame(made, columns=["run", "arm", "wrong_pass", "wrong_fail"])
    return _by_run(told.melt(["run", "arm"], var_name="metric"), draws, "at the limit")


def _decisions(
    budget: Budget, several: Sequence[Population], rng: np.random.Generator
) -> Iterator[tuple[str, float, float]]:
    """One sample of each line: the line, whether it passed, whether it failed; then the whole."""
    tests = np.full((len(several), 2), np.nan)
    for i, one in enumerate(several):
        if one.truth >= SMALL:
            harm = harm_of(QUANTITIES[one.line], one.sample(one.size, rng))
            tests[i] = harm.p_within(one.truth), harm.p_beyond(one.truth)
    hit = np.where(np.isnan(tests), np.nan, tests < budget.alpha)
    yield from ((one.line, *found) for one, found in zip(several, hit, strict=True))
    if np.isfinite(tests).any():
        fails = np.nanmin(holm(tests[:, 1])) < budget.alpha
        yield WHOLE, float(np.nanmin(hit[:, 0])), float(fails)


def _by_run(
    told: pd.DataFrame, draws: int, condition: object, by: Sequence[str] = ()
) -> pd.DataFrame:
    """Shares of samples as a run table; ``n`` is their number in an arm."""
    found = told.groupby(["arm", "metric", *by, "run"], sort=False)["value"].mean().reset_index()
    table = found.assign(base=[run.base for run in found["run"]], least=0.0, most=1.0, n=draws,
                         seed=[run.seed for run in found["run"]], condition=condition)
    return table.reindex(columns=[*RUN_COLUMNS, *by]).astype({"se": float, "df": float})


def power_rows(
    budget: Budget, known: Mapping[tuple[str, Run], list[Population]], draws: int, seed: int,
    sizes: Sequence[int] = SIZES,
) -> pd.DataFrame:
    """Run table: how often a line is decided rightly, by number of ``items``.

    The arm is the line; metric ``right_pass`` of models whose exact harm is at most half of what is
    allowed, ``right_fail`` of those where it is at least twice as much; others have no value.

    Parameters
    ----------
    known : mapping
        From `populations`.
    draws : int
        Samples of each model and number of items.
    """
    limits = {line.metric: QUANTITIES[line.metric].allowed(line.allowed) for line in budget.lines}
    made = []
    for place, ((_, run), several) in enumerate(known.items()):
        rng = stream(seed, "gate power", *run, place)
        for one in (one for one in several if one.line in limits):
            made += [(run, one.line, side, n, value) for n in sizes for _ in range(draws)
                     for side, value in _right(one, n, limits[one.line], budget.alpha, rng)]
    told = pd.DataFrame(made, columns=["run", "arm", "metric", "items", "value"])
    found = _by_run(told, draws, "", ["items"])
    return found.assign(condition=found["items"])


def _right(
    one: Population, n: int, allowed: float, alpha: float, rng: np.random.Generator
) -> list[tuple[str, float]]:
    """Whether a sample is decided rightly, for both metrics."""
    found = {"right_pass": np.nan, "right_fail": np.nan}
    if not allowed / 2 < one.truth < 2 * allowed:
        harm = harm_of(QUANTITIES[one.line], one.sample(n, rng))
        side, test = (("right_pass", harm.p_within) if one.truth < allowed
                      else ("right_fail", harm.p_beyond))
        found[side] = float(test(allowed) < alpha)
    return list(found.items())
