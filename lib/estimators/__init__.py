"""Estimators of the study: item frames in, `Estimate` out."""

from lib.estimators.comparison import compare, share_removed
from lib.estimators.corrections import (
    ar1_bias,
    ar1_slopes,
    corrected_persistence,
    kendall_corrected,
    predictive_slope,
    stambaugh_bias,
)
from lib.estimators.estimate import Estimate, to_frame
from lib.estimators.fama_macbeth import fama_macbeth, monthly_slopes
from lib.estimators.innovations import (
    error_on_innovation,
    error_on_innovation_hac,
    innovation_coefficient,
    with_innovation,
)
from lib.estimators.lags import decay_weights, lag_coefficients
from lib.estimators.measurement import (
    noisy_revision_coefficient,
    reliability,
    without_noise_in_forecast,
    without_noise_in_x,
)
from lib.estimators.pooling import combine_seeds, holm, minimum_detectable, over_seeds
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
from lib.estimators.wild import wild_cluster, wild_pvalue
from lib.estimators.within import (
    half_panel_jackknife,
    nickell_bias,
    nickell_corrected,
    within_series,
)

__all__ = [
    "Estimate",
    "ar1_bias",
    "ar1_slopes",
    "by_condition",
    "combine_seeds",
    "compare",
    "corrected_persistence",
    "decay_weights",
    "demean_by_series",
    "error_on_innovation",
    "error_on_innovation_hac",
    "error_on_level",
    "error_revision",
    "error_revision_hac",
    "fama_macbeth",
    "half_panel_jackknife",
    "holm",
    "implied_persistence",
    "implied_persistence_hac",
    "innovation_coefficient",
    "kendall_corrected",
    "lag_coefficients",
    "minimum_detectable",
    "monthly_slopes",
    "nickell_bias",
    "nickell_corrected",
    "noisy_revision_coefficient",
    "over_seeds",
    "predictive_slope",
    "reliability",
    "revision_variance",
    "share_removed",
    "stambaugh_bias",
    "to_frame",
    "wild_cluster",
    "wild_pvalue",
    "with_innovation",
    "within_series",
    "without_noise_in_forecast",
    "without_noise_in_x",
]
