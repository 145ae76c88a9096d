"""How well probabilities tell two classes apart."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lib.statistics.estimate import Estimate, t_interval


def auroc(scores: ArrayLike, positive: ArrayLike, clusters: ArrayLike) -> Estimate:
    """Chance that a positive item scores above a negative one, ties counting half.

    The area under the receiver operating curve, ``mean of P(s+ > s-) + P(s+ = s-) / 2``; error
    from the placements of items, summed by cluster (Obuchowski 1997; of single items that of
    DeLong, DeLong and Clarke-Pearson 1988). A cluster's items are of one class.
    """
    scores, positive = np.asarray(scores, dtype=float), np.asarray(positive, dtype=bool)
    above, below, groups = scores[positive], scores[~positive], np.asarray(clusters)
    wins = np.sign(above[:, None] - below[None, :]) / 2 + 0.5
    value, variance, counts = float(wins.mean()), 0.0, []
    for placed, own in ((wins.mean(1), groups[positive]), (wins.mean(0), groups[~positive])):
        sums = pd.Series(placed - value).groupby(own).sum()
        counts.append(len(sums))
        variance += (sums**2).sum() * len(sums) / max(len(sums) - 1, 1) / len(placed) ** 2
    se, df = float(np.sqrt(variance)), max(1.0, min(counts) - 1.0)
    return Estimate("auroc", value, se, *t_interval(value, se, df), len(scores), min(counts),
                    f"placements by cluster, t({df:g})", df)
