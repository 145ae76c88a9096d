"""Two cures in one model: what is left of both biases, what was harmed, whether order counts."""

import numpy as np
import pandas as pd

from lib.chapters.arms import relative_runs
from lib.chapters.combined_cures import CURES, ORDERS
from lib.chapters.scorecard import COMBINED, OWN
from lib.statistics.bases import RUN_COLUMNS, changes, over_bases
from lib.study.notebook import COLUMNS

LEFT = {"excess_persistence": "excess_left", "pronoun_slope": "slope_left"}
"""Own axis of a cure to the metric of what is left of it."""
HARM = "worst_harm"


def left_runs(scored: pd.DataFrame) -> pd.DataFrame:
    """Run table of what is left of both biases, as shares of the same base's.

    ``excess_left``: excess over excess before; below zero, a model expects less persistence than
    there is. ``slope_left``: ``|slope|`` over ``|slope|`` before.

    Parameters
    ----------
    scored : DataFrame
        From `lib.chapters.scorecard.scores`, the arm ``base`` among others.
    """
    excess, slope = (scored[scored["metric"] == axis] for axis in LEFT)
    slope = slope.assign(value=slope["value"].abs())
    parts = [relative_runs(some, name, "base") for some, name in
             ((excess, "excess_left"), (slope, "slope_left"))]
    found = pd.concat(parts, ignore_index=True).assign(least=-np.inf)
    return found[found["arm"] != "base"][RUN_COLUMNS]


def interactions(left: pd.DataFrame, card: pd.DataFrame, cured: str) -> pd.DataFrame:
    """Exhibit rows of both single cures and every combination, with ``pareto``.

    Metrics ``excess_left`` and ``slope_left`` (`left_runs`), and ``worst_harm``, the largest harm
    on any axis that neither cure is about, in spreads of the base models and at least 0; it has no
    interval. ``pareto``: no other arm has all three at most as large (in size), and one smaller.

    Parameters
    ----------
    left : DataFrame
        From `left_runs`.
    card : DataFrame
        From `lib.chapters.scorecard.card`.
    cured : str
        The profile's ``scorecard.cured``.
    """
    both = card.loc[card["task"] == COMBINED, "arm"].unique()
    arms = [arm for arm in (*(f"{cure}: {cured}" for cure in CURES), *both)
            if arm in set(left["arm"])]
    others = card[card["arm"].isin(arms) & ~card["axis"].isin(OWN[COMBINED])]
    harm = others.groupby("arm")["harm"].max().clip(lower=0)
    first = others.drop_duplicates("arm").assign(low=np.nan, high=np.nan, metric=HARM)
    first = first.assign(value=first["arm"].map(harm))
    rows = pd.concat([over_bases(left[left["arm"].isin(arms)]), first])[COLUMNS]
    rows = rows.sort_values("arm", key=lambda arm: arm.map(arms.index), kind="stable")
    return rows.assign(pareto=rows["arm"].map(_undominated(rows))).reset_index(drop=True)


def _undominated(rows: pd.DataFrame) -> pd.Series:
    """By arm: whether no other is at least as good in all three metrics, and better in one."""
    sizes = rows.pivot(index="arm", columns="metric", values="value").abs()
    points = sizes.to_numpy()
    beaten = [((points <= own).all(axis=1) & (points < own).any(axis=1)).any() for own in points]
    return pd.Series(~np.array(beaten), index=sizes.index)


def order_runs(scored: pd.DataFrame) -> pd.DataFrame:
    """Run table: one order of the cures less the other on the same base and seed, every axis.

    Empty where the profile does not combine them in both orders.

    Parameters
    ----------
    scored : DataFrame
        From `lib.chapters.scorecard.scores`.
    """
    first, second = ORDERS
    pair = scored[scored["arm"].isin(ORDERS)]
    if pair["arm"].nunique() < len(ORDERS):
        return pair.head(0)
    return changes(pair, against=second).assign(arm=f"{first} less {second}")
