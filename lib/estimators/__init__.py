"""Estimators of the study: item frames in, `Estimate` out."""

from lib.estimators.comparison import compare, share_removed
from lib.estimators.estimate import Estimate, to_frame
from lib.estimators.pooling import combine_seeds, holm, minimum_detectable
from lib.estimators.regressions import (
    by_condition,
    demean_by_series,
    error_on_level,
    error_revision,
    error_revision_hac,
    implied_persistence,
    implied_persistence_hac,
    revision_variance,
)

__all__ = [
    "Estimate",
    "by_condition",
    "combine_seeds",
    "compare",
    "demean_by_series",
    "error_on_level",
    "error_revision",
    "error_revision_hac",
    "holm",
    "implied_persistence",
    "implied_persistence_hac",
    "minimum_detectable",
    "revision_variance",
    "share_removed",
    "to_frame",
]
