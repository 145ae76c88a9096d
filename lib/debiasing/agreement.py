"""Do our trials of a published recipe agree with the published trials?

Official results are LMS, SS and ICAT of StereoSet's development split, ten trials an arm
(`lib.datasets.gira2022`). Two questions, two tests: is there a difference, and is it small?
"""

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from lib.axes.gender.stereoset import stereoset_scores
from lib.errors import InvalidValueError
from lib.estimators.columns import require

MARGINS: Mapping[str, float] = MappingProxyType({"LMS": 0.65, "SS": 1.5, "ICAT": 2.9})
"""Points within which two arms count as equal: half the sampling error of the 255 items, below
which no claim about bias can tell them apart."""


def trial(arm: str, number: int, scored: pd.DataFrame) -> pd.DataFrame:
    """LMS, SS and ICAT of one trial on the development split, in the form of the official ones.

    Parameters
    ----------
    scored : DataFrame
        From `lib.axes.gender.stereoset.score`, with its conditioning ``split``, which is theirs.
    """
    found = stereoset_scores(scored[scored["split"] == "dev"])
    return pd.DataFrame([
        {"arm": arm, "trial": number, "domain": "gender", "metric": metric, "value": value}
        for metric, value in found.items()
    ])


def compare(
    trials: pd.DataFrame, official: pd.DataFrame, margins: Mapping[str, float] = MARGINS
) -> pd.DataFrame:
    """Our trials less the official ones, by arm, domain and metric.

    ``value`` is the difference of means, with Welch's 95 % interval. A difference that is not
    significant is no proof of sameness: ``p_equal`` is, the larger p-value of two one-sided Welch
    tests of "the means differ by the margin or more" (Schuirmann 1987). Below .05 they are the
    same to within the margin; that is so exactly where the 90 % interval lies inside it.

    Parameters
    ----------
    trials, official : DataFrame
        Columns arm, domain, metric, value: from `trial` and from
        `lib.datasets.gira2022.official_results`. Only cells of ``trials`` are compared.
    margins : mapping of str to float
        Points, by metric.

    Returns
    -------
    DataFrame
        Columns arm, condition (the domain), metric, value, low, high, n (trials of both), seeds
        (ours), p_welch, p_equal, margin.

    Raises
    ------
    InvalidValueError
        A cell with fewer than two trials on either side, or a metric without a margin.
    """
    for frame in (trials, official):
        require(frame, ["arm", "domain", "metric", "value"])
    cells = ["arm", "domain", "metric"]
    theirs = dict(iter(official.groupby(cells)["value"]))
    return pd.DataFrame([
        _compared(cell, ours, theirs.get(cell, ours.iloc[:0]), margins)
        for cell, ours in trials.groupby(cells, sort=False)["value"]
    ])


def _compared(
    cell: tuple[str, str, str], ours: pd.Series, theirs: pd.Series, margins: Mapping[str, float]
) -> dict[str, object]:
    arm, domain, metric = cell
    if min(len(ours), len(theirs)) < 2 or metric not in margins:
        raise InvalidValueError(
            "two trials on both sides, and a margin, for each arm, domain and metric",
            f"{len(ours)} and {len(theirs)} for {arm}, {domain}, {metric}",
            "add trials, or leave the cell out",
        )
    means = CompareMeans(*(DescrStatsW(values.to_numpy(float)) for values in (ours, theirs)))
    low, high = means.tconfint_diff(usevar="unequal")
    margin = margins[metric]
    return {
        "arm": arm, "condition": domain, "metric": f"{metric}_difference",
        "value": float(ours.mean() - theirs.mean()), "low": float(low), "high": float(high),
        "n": len(ours) + len(theirs), "seeds": len(ours),
        "p_welch": float(means.ttest_ind(usevar="unequal")[1]),
        "p_equal": float(means.ttost_ind(-margin, margin, usevar="unequal")[0]), "margin": margin,
    }
