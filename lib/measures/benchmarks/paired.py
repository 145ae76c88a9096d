"""StereoSet's scores with the interval that their items leave, by bootstrap.

LMS and SS are means over target words of means over items, and ICAT has a kink where SS crosses
50: hence draws instead of a formula. `lib.measures.benchmarks.paired` compares two arms with it.

Two arms on identical items: is their difference more than chance?

What both arms share, the items, cancels in a paired comparison. On the 255 development items of
StereoSet a single SS has a standard error of 3 points; two arms that choose alike on all but a
few items differ with a much smaller one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from lib.errors import InvalidValueError
from lib.measures.benchmarks.stereoset import SENTENCES
from lib.statistics.estimate import Estimate
from lib.statistics.regressions import require_columns

METRICS = ("LMS", "SS", "ICAT")
DRAWN = ("target", "item")


def bootstrap(
    frame: pd.DataFrame, by: str = "target", draws: int = 2000, *, seed: int
) -> list[Estimate]:
    """LMS, SS and ICAT of one arm.

    Parameters
    ----------
    frame : DataFrame
        Columns ``item``, ``target``, ``stereotype``, ``antistereotype``, ``unrelated``.
    by : {"target", "item"}
        What is drawn with replacement. ``target``: person words with all their items, for claims
        beyond these words. ``item``: sentences, for claims about these words. Ten words, as in
        the development split, are few: an interval by them covers less than it says.

    Returns
    -------
    list of Estimate
        ``LMS``, ``SS``, ``ICAT``, from 0 to 100, with percentile intervals.

    Raises
    ------
    InvalidValueError
        A missing column or score, an item twice, or nothing to draw from.
    """
    frame = indexed(frame, by)
    return estimates(METRICS, frame, by, draws, seed, lambda counts: scores(frame, by, counts))


def indexed(frame: pd.DataFrame, by: str) -> pd.DataFrame:
    """The frame by item, fit to be drawn from."""
    if by not in DRAWN:
        raise InvalidValueError(f"one of {', '.join(DRAWN)}", repr(by), "name what is drawn")
    require_columns(frame, ["item", "target", *SENTENCES])
    frame = frame.set_index("item", drop=False)
    if not frame.index.is_unique or frame[by].nunique() < 2:
        raise InvalidValueError(
            f"each item once, and at least two values of {by} to draw",
            f"{len(frame)} rows, {frame.index.nunique()} items, {frame[by].nunique()} of {by}",
            "give the items of one arm and one condition",
        )
    return frame


def estimates(
    names: Sequence[str], frame: pd.DataFrame, by: str, draws: int, seed: int,
    statistics: Callable[[np.ndarray], np.ndarray],
) -> list[Estimate]:
    """Value, error and percentile interval of statistics of ``counts``, one row a name."""
    size = frame[by].nunique()
    drawn = np.random.default_rng(seed).multinomial(size, [1 / size] * size, draws)
    values = statistics(np.vstack([np.ones(size), drawn]))  # the first column is the estimate
    low, high = np.quantile(values[:, 1:], [0.025, 0.975], axis=1)
    error = values[:, 1:].std(axis=1, ddof=1)
    figures = np.stack([values[:, 0], error, low, high], axis=1).tolist()
    method = f"bootstrap by {by}, {draws} draws"
    return [Estimate(name, *row, len(frame), size, method, np.nan)
            for name, row in zip(names, figures, strict=True)]


def scores(frame: pd.DataFrame, by: str, counts: np.ndarray) -> np.ndarray:
    """LMS, SS and ICAT of each draw, shape (3, draws).

    ``counts``, shape (draws, values of ``by``), says how often each was drawn, in order of
    appearance.
    """
    s, a, u = (frame[name].to_numpy(float) for name in SENTENCES)
    sums = pd.DataFrame({"n": 1.0, "pro": s > a, "related": (s > u) * 1.0 + (a > u)})
    cells = [pd.factorize(frame[name])[0] for name in (by, "target")]
    # What is drawn has its own sums for each target; a draw adds them up.
    tables = sums.astype(float).groupby(cells).sum().unstack(fill_value=0.0)
    n, pro, related = (counts @ tables[name].to_numpy() for name in sums)
    # A target drawn twice is two targets; one of which items were drawn remains one.
    weight = counts if by == "target" else (n > 0).astype(float)
    weight = weight / weight.sum(axis=1, keepdims=True) / np.maximum(n, 1)
    ss, lms = (100 * weight * pro).sum(axis=1), (50 * weight * related).sum(axis=1)
    return np.stack([lms, ss, lms * np.minimum(ss, 100 - ss) / 50])


@dataclass(frozen=True)
class McNemar:
    """Paired choices of two arms.

    Attributes
    ----------
    both, before, after, neither : int
        Items on which both arms, only the first, only the second, or neither chose.
    pvalue : float
        Exact and two-sided, of "each arm is as often the only one": ``before`` given
        ``before + after`` is binomial with one half (McNemar 1947). Items are taken as
        independent; `bootstrap_change` allows for clusters.
    """

    both: int
    before: int
    after: int
    neither: int
    pvalue: float

    @property
    def n(self) -> int:
        """Number of items."""
        return self.both + self.before + self.after + self.neither

    @property
    def difference(self) -> float:
        """Share chosen by the second arm, less that of the first."""
        return (self.after - self.before) / self.n

    @property
    def discordance(self) -> float:
        """Share of items on which the arms differ."""
        return (self.before + self.after) / self.n


def compare_choices(before: pd.Series, after: pd.Series) -> McNemar:
    """McNemar's exact test of binary choices, such as ``stereotype > antistereotype``.

    Parameters
    ----------
    before, after : Series of bool (or 0 and 1)
        Indexed by item; rows may be in any order.

    Raises
    ------
    InvalidValueError
        Other values, or other items in the two.
    """
    before, after = _same_items(before, after)
    if not (before.isin([0, 1]).all() and after.isin([0, 1]).all()):
        raise InvalidValueError("choices of 0 or 1", "other values", "compare two scores first")
    one, two = before.to_numpy(bool), after.to_numpy(bool)
    both, first, second, neither = (
        int(cell.sum()) for cell in (one & two, one & ~two, ~one & two, ~one & ~two)
    )
    pvalue = mcnemar([[both, first], [second, neither]], exact=True).pvalue
    return McNemar(both, first, second, neither, float(pvalue))


def stereotypical(frame: pd.DataFrame) -> pd.Series:
    """Whether the stereotype is the likelier sentence, by item: the choices behind SS."""
    require_columns(frame, ["item", *SENTENCES])
    return (frame["stereotype"] > frame["antistereotype"]).set_axis(frame["item"])


def bootstrap_change(
    before: pd.DataFrame, after: pd.DataFrame, by: str = "target", draws: int = 2000, *, seed: int
) -> list[Estimate]:
    """After less before of LMS, SS and ICAT: the same draws of items for both arms.

    Parameters
    ----------
    before, after : DataFrame
        As for `lib.measures.benchmarks.paired.bootstrap`; the same items, in any order.

    Returns
    -------
    list of Estimate
        ``LMS_change``, ``SS_change``, ``ICAT_change`` in points, with percentile intervals.

    Raises
    ------
    InvalidValueError
        As `bootstrap`, or frames that are not the same items.
    """
    before, after = _same_items(indexed(before, by), indexed(after, by))
    if not before["target"].equals(after["target"]):
        raise InvalidValueError("one target an item", "two", "score both arms on one item frame")
    return estimates(
        [f"{metric}_change" for metric in METRICS], before, by, draws, seed,
        lambda counts: scores(after, by, counts) - scores(before, by, counts),
    )


def minimum_detectable_share(
    n: int, discordance: float, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Smallest difference of two paired shares that McNemar's test finds with this power.

    With psi the discordance, the difference d has variance ``psi / n`` if there is none and
    ``(psi - d^2) / n`` if there is, so (Miettinen 1968; Connor 1987, Biometrics 43)::

        sqrt(n) d = z_{1 - alpha/2} sqrt(psi) + z_power sqrt(psi - d^2)

    which is solved for d. It is for the test's normal form; the exact test needs a little more.

    Parameters
    ----------
    n : int
        Items.
    discordance : float
        Share of items on which the arms choose differently, 0 to 1.

    Returns
    -------
    float
        A share, 0 to 1. Infinite where d would exceed psi: not even arms that differ in one
        direction only would be told apart.

    Raises
    ------
    InvalidValueError
        No items, or a share outside its range.
    """
    for name, value in (("discordance", discordance), ("power", power), ("alpha", alpha)):
        if not 0 < value <= 1:
            raise InvalidValueError(f"a {name} above 0, at most 1", str(value), "correct it")
    if n < 1:
        raise InvalidValueError("at least one item", str(n), "correct it")
    z, z_power = stats.norm.ppf(1 - alpha / 2), stats.norm.ppf(power)
    root = np.sqrt(max(n + z_power**2 - z**2, 0))
    found = np.sqrt(discordance) * (z * np.sqrt(n) + z_power * root) / (n + z_power**2)
    return float(found) if found <= discordance else np.inf


def _same_items(before, after):  # noqa: ANN001, ANN202 - two Series or two DataFrames
    """Both in the order of the first, proven to be the same items, each once."""
    unique = before.index.is_unique and after.index.is_unique
    if not unique or set(before.index) != set(after.index):
        raise InvalidValueError(
            "the same items for both arms, each once",
            f"{len(before)} and {len(after)} rows that differ",
            "score both arms on one item frame, one condition at a time",
        )
    return before, after.loc[before.index]
