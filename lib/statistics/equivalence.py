"""Whether a difference is small: two one-sided tests (TOST; Schuirmann 1987)."""

import numpy as np
import pandas as pd
from statsmodels.stats.weightstats import DescrStatsW

from lib.statistics.bases import holm


def equivalence(runs: pd.DataFrame, margin: float) -> pd.DataFrame:
    """Exhibit rows: each cell's mean change over bases, 90 % limits, ``p`` and ``p_holm``.

    ``p`` is the greater of those of "the change is at most -margin" and "at least margin"; below
    .05 exactly if the 90 % limits lie within the margin. One base has neither.

    Parameters
    ----------
    runs : DataFrame
        Changes (`lib.statistics.bases.changes`).
    """
    found = []
    for (arm, condition, metric), rows in runs.groupby(["arm", "condition", "metric"], sort=False):
        means = rows.groupby("base")["value"].mean().to_numpy()
        low = high = p = np.nan
        if len(means) > 1:
            told = DescrStatsW(means)
            low, high = told.tconfint_mean(alpha=0.1)
            p = told.ttost_mean(-margin, margin)[0]
        found.append({"arm": arm, "condition": condition, "metric": metric, "value": means.mean(),
                      "low": low, "high": high, "n": rows["n"].max(), "bases": len(means),
                      "runs": len(rows), "p": p})
    table = pd.DataFrame(found)
    return table.assign(p_holm=holm(table["p"]))
