"""Whether what a change harms stays within what is allowed: one-sided tests of paired items.

A **harm** is a change for the worse from one model to another on the same items. Two tests are made
of it: against "at least as much as allowed" (it passes), and against "at most" (it fails). Where
neither is significant there is not enough evidence, and `items_needed` says how much would be.

Shares are tested by their score (Tango 1998): the variance is that which the tested margin would
have, so that no change seen in few items is no proof of none. Items of a cluster count as fewer.
Several tuned models are training seeds of one recipe: how they differ adds to the error, which
counts what items add to that twice, and so is on the safe side. A judge
that errs at known rates shrinks every change to ``J = sensitivity + specificity - 1`` of itself
(Rogan and Gladen 1978), which is compared with ``J`` times what is allowed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, stats

from lib.errors import require
from lib.statistics.bases import holm
from lib.statistics.clusters import clustered_fit

PASS, FAIL, OPEN = "pass", "fail", "not enough evidence"
WIDEST = 1 - 1e-9
"""Largest harm of a share that is looked for."""


class Judge(NamedTuple):
    """An audit of who judges: of so many known answers of a kind, how many it got right."""

    caught: int = 0
    of_positive: int = 0
    cleared: int = 0
    of_negative: int = 0

    def youden(self) -> tuple[float, float]:
        """``sensitivity + specificity - 1`` and its variance; 1 and 0 where nothing was audited."""
        if not (self.of_positive and self.of_negative):
            return 1.0, 0.0
        # One more of each: a judge without an error among few is not known to have none.
        rates = [((right + 1) / (n + 2), n + 2) for right, n in (self[:2], self[2:])]
        return (sum(p for p, _ in rates) - 1, sum(p * (1 - p) / n for p, n in rates))


CERTAIN = Judge()
"""One whose verdicts are the truth."""


@dataclass(frozen=True)
class Harm:
    """A mean change for the worse, and all that its error is made of."""

    value: float
    n: int  # items
    clusters: int
    variance: float  # of the value, by items
    df: float  # of that variance
    # Of a share: items that got worse and better, as shares, and how many items they count as.
    moved: tuple[float, float] | None = None
    effective: float = 0.0
    seeds: int = 1
    between: float = 0.0  # variance of the value by training seeds
    judge: Judge = CERTAIN

    def test(self, margin: float) -> tuple[float, float]:
        """Statistic of "the true harm is the margin", and its degrees of freedom."""
        shrunk, unsure = self.judge.youden()
        distance, items = self.value - shrunk * margin, self._items(shrunk * margin)
        if self.moved is not None:  # half an item: shares of few move in steps
            distance = np.sign(distance) * max(abs(distance) - 0.5 / self.effective, 0.0)
        parts = [(items, self.df), (self.between, max(self.seeds - 1, 1))]
        total = sum(part for part, _ in parts)
        # Satterthwaite's, for variances that are estimated apart.
        df = total**2 / sum(part**2 / df for part, df in parts) if total else self.df
        error = np.sqrt(total + unsure * margin**2)
        return float(distance / error if error else np.sign(distance) * 1e9), df

    def _items(self, margin: float) -> float:
        if self.moved is None:
            return self.variance
        return score_variance(*self.moved, self.effective, margin)

    @property
    def corrected(self) -> float:
        """The harm without the judge's errors."""
        share = np.clip(self.value / self.judge.youden()[0], -1, 1)
        return float(share) if self.moved is not None else self.value

    @property
    def least_p(self) -> float:
        """What so few clusters can show at most: the floor of a sign test."""
        return 0.0 if self.moved is not None else 2.0**-self.clusters

    def p_within(self, allowed: float) -> float:
        """p-value of "at least as much as allowed": small where the harm is shown to be less."""
        z, df = self.test(allowed)
        return max(float(stats.t.cdf(z, df)), self.least_p)

    def p_beyond(self, allowed: float) -> float:
        """p-value of "at most as much as allowed": small where the harm is shown to be more."""
        z, df = self.test(allowed)
        return max(float(stats.t.sf(z, df)), self.least_p)

    def limits(self, alpha: float = 0.05) -> tuple[float, float]:
        """Least and greatest harm that neither test rejects: each end one-sided at `alpha`."""
        if self.moved is None:
            z = stats.t.ppf(1 - alpha, self.test(0.0)[1])
            reach = float(z * np.sqrt(self.variance + self.between))
            reach = np.inf if self.least_p >= alpha else reach
            return self.value - reach, self.value + reach
        return self._end(self.p_beyond, -WIDEST, alpha), self._end(self.p_within, WIDEST, alpha)

    def _end(self, p: Callable[[float], float], far: float, alpha: float) -> float:
        """Margin between the value and `far` at which a test of a share just rejects."""
        near = float(np.clip(self.corrected, -WIDEST, WIDEST))
        if p(far) >= alpha or p(near) <= alpha:
            return round(far if p(far) >= alpha else near, 6)
        return float(optimize.brentq(lambda m: p(m) - alpha, near, far))


def score_variance(worse: float, better: float, n: float, margin: float) -> float:
    """Variance of a paired difference of shares where the true one is `margin` (Tango 1998)."""
    if margin < 0:
        return score_variance(better, worse, n, -margin)
    # The likeliest share of items that got better, given that margin: root of a quadratic.
    b = (2 - worse + better) * margin - worse - better
    c = -better * margin * (1 - margin)
    least = (np.sqrt(b**2 - 8 * c) - b) / 4
    return float((2 * least + margin * (1 - margin)) / n)


def share_harm(worse: np.ndarray, clusters: pd.Series, judge: Judge = CERTAIN) -> Harm:
    """Harm of items that are right or wrong: -1, 0 or 1 each, shape ``(items, seeds)``."""
    moved = float((worse > 0).mean()), float((worse < 0).mean())
    found = _harm(worse, clusters, moved[0] - moved[1], 0.0, max(clusters.nunique() - 1.0, 1.0))
    effective = effective_items(worse.mean(1), clusters)
    return replace(found, moved=moved, effective=effective, judge=judge)


KNOWN = 2
"""Clusters that count as moving as one, beside those that were seen to move."""


def effective_items(change: np.ndarray, clusters: pd.Series) -> float:
    """Independent items that tell as much: ``n / (1 + (m - 1) icc)`` (Kish 1965).

    The correlation within clusters is drawn towards one, where few were seen to move altogether.
    """
    codes, n = pd.factorize(clusters)[0], len(change)
    sizes = np.bincount(codes)
    m = float((sizes**2).sum()) / n  # the size of the cluster that an item meets on average
    if len(sizes) < 2 or m == 1:
        return float(len(sizes))
    alone = float(change.var(ddof=1)) / n
    # CR2 of a mean: what `clustered_fit` gives on a column of ones, in a tenth of the time.
    sums = np.bincount(codes, change - change.mean())
    together = float((sums**2 / (1 - sizes / n)).sum()) / n**2
    icc = float(np.clip((together / alone - 1) / (m - 1), 0, 1)) if alone else 1.0
    moved = np.count_nonzero(np.bincount(codes, change != 0))
    return n / (1 + (m - 1) * (moved * icc + KNOWN) / (moved + KNOWN))


def mean_harm(worse: np.ndarray, clusters: pd.Series) -> Harm:
    """Harm of probabilities: a mean over items, errors clustered; shape ``(items, seeds)``."""
    return slope_harm(worse, np.ones((len(worse), 1)), clusters, 0)


def slope_harm(
    worse: np.ndarray, design: np.ndarray, clusters: pd.Series, column: int = 1
) -> Harm:
    """Harm of a slope: a column's coefficient for the items' changes; errors clustered (CR2)."""
    require(clusters.nunique() > 1, "items of at least two clusters", "one", "ask more")
    fit = clustered_fit(worse.mean(1), design, clusters)
    weights = np.linalg.pinv(design)[column]
    found = _harm(worse, clusters, float(fit.params[column]), float(fit.bse[column]) ** 2,
                  float(fit.df[column]))
    return replace(found, between=_between(weights @ worse))


def ratio_harm(worse: np.ndarray, size: np.ndarray, clusters: pd.Series) -> Harm:
    """Harm of a ratio of sums, as nats over tokens: ``sum of changes / sum of sizes``."""
    root = np.sqrt(size)[:, None]
    return slope_harm(worse / root, root, clusters, 0)


def _harm(
    worse: np.ndarray, clusters: pd.Series, value: float, variance: float, df: float
) -> Harm:
    return Harm(value, len(worse), int(clusters.nunique()), variance, df, seeds=worse.shape[1],
                between=_between(worse.mean(0)))


def _between(by_seed: np.ndarray) -> float:
    """Variance of a mean over seeds; 0 of one, as then that one model is meant."""
    return float(by_seed.var(ddof=1) / len(by_seed)) if len(by_seed) > 1 else 0.0


def decided(harms: Mapping[str, tuple[Harm, float]], alpha: float = 0.05) -> pd.DataFrame:
    """A row for each line of a budget: its harm, what is allowed, both tests, the verdict.

    A line passes at level `alpha`: the whole passes only where all lines do, so that it wrongly
    does at most as often (Berger 1982). It fails where one line does, so that those p-values are
    adjusted for all lines (Holm).
    """
    rows = []
    for name, (harm, allowed) in harms.items():
        low, high = harm.limits(alpha)
        rows.append({"line": name, "value": harm.corrected, "low": low, "high": high,
                     "allowed": allowed, "p_within": harm.p_within(allowed),
                     "p_beyond": harm.p_beyond(allowed), "n": harm.n, "clusters": harm.clusters,
                     "seeds": harm.seeds})
    table = pd.DataFrame(rows)
    beyond = holm(table["p_beyond"])
    verdict = np.select([beyond < alpha, table["p_within"] < alpha], [FAIL, PASS], OPEN)
    return table.assign(p_beyond_holm=beyond, verdict=verdict)


def overall(verdicts: pd.Series) -> str:
    """Fail where a line does, pass where all do."""
    return FAIL if (verdicts == FAIL).any() else PASS if (verdicts == PASS).all() else OPEN


def items_needed(
    harm: Harm, allowed: float, alpha: float = 0.05, power: float = 0.8, lines: int = 1
) -> float:
    """Items that decide a line with this power if the harm is as seen, and none if below none.

    A harm beyond what is allowed must show at ``alpha / lines``, which is more than Holm asks.
    Infinite where no number would: a harm just as large as allowed, or seeds that differ too much.
    """
    if harm.least_p >= alpha:
        return float(harm.n * np.ceil(np.log2(1 / alpha)) / harm.clusters)
    shrunk, unsure = harm.judge.youden()
    truth, margin = max(harm.value, 0.0), shrunk * allowed
    level = alpha / lines if truth > margin else alpha
    per_item = [harm.n * v for v in (harm._items(margin), harm._items(truth))]
    rest = harm.between + unsure * allowed**2
    half = 0.5 * harm.n / harm.effective if harm.moved is not None else 0.0

    known = stats.norm.ppf([1 - level, power])

    def lacks(n: float) -> float:
        error, spread = (np.sqrt(item / n + rest) for item in per_item)
        tests, finds = known
        if harm.between:  # Satterthwaite's, few seeds tell
            seeds = error**4 / harm.between**2 * (harm.seeds - 1)
            tests, finds = stats.t.ppf([1 - level, power], seeds)
        return tests * error + finds * spread - abs(margin - truth) + half / n

    if lacks(1e12) >= 0:
        return float("inf")
    return float(np.ceil(optimize.brentq(lacks, 1e-9, 1e12))) if lacks(1e-9) > 0 else 1.0
