"""Shares between 0 and 1 with intervals that stay there: of ones, and of probabilities."""

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit, logit
from statsmodels.stats.proportion import proportion_confint

from lib.statistics.clusters import clustered_fit
from lib.statistics.estimate import Estimate
from lib.statistics.regressions import from_fit


def rate(frame: pd.DataFrame, column: str, name: str) -> Estimate:
    """Share of ones, 95 % Wilson interval at ``n / (1 + (m - 1) icc)`` (Kish 1965)."""
    n, clusters, value = len(frame), frame["cluster"].nunique(), float(frame[column].mean())
    # Size of the cluster that an item meets on average.
    m = float((frame.groupby("cluster").size() ** 2).sum()) / n
    effective = n / max(1.0, 1 + (m - 1) * _icc(frame, column))
    low, high = proportion_confint(value * effective, effective, method="wilson")
    se = float(np.sqrt(value * (1 - value) / effective))
    return Estimate(name, value, se, float(low), float(high), n, clusters, "Wilson, effective n")


def _icc(frame: pd.DataFrame, column: str) -> float:
    """Intraclass correlation by analysis of variance (Donner 1986); 1 where nothing varies."""
    groups = frame.groupby("cluster")[column]
    sizes, means, n = groups.size(), groups.mean(), len(frame)
    k = len(sizes)
    if k == 1 or k == n:
        return 1.0
    between = float((sizes * (means - frame[column].mean()) ** 2).sum()) / (k - 1)
    within = float(((frame[column] - groups.transform("mean")) ** 2).sum()) / (n - k)
    m0 = (n - (sizes**2).sum() / n) / (k - 1)
    return (between - within) / (between + (m0 - 1) * within) if between + within > 0 else 1.0


def mean_probability(frame: pd.DataFrame, column: str, name: str) -> Estimate:
    """Mean of exact probabilities; error clustered, 95 % t interval taken on the logit scale."""
    p, clusters = float(frame[column].mean()), frame["cluster"].nunique()
    fit = clustered_fit(frame[column].to_numpy(float), np.ones((len(frame), 1)), frame["cluster"])
    found = from_fit(name, fit, 0, clusters, "cluster")
    # Equal probabilities have no error, and neither has what is 0 or 1 to machine precision.
    reach = stats.t.ppf(0.975, found.df) * found.se / (p * (1 - p)) if 0 < p < 1 else 0.0
    low, high = expit(logit(p) + np.array([-reach, reach]))
    method = f"mean, cluster (CR2), t({found.df:.3g}) on the logit scale"
    return Estimate(name, p, found.se, float(low), float(high), len(frame), clusters, method,
                    found.df)
