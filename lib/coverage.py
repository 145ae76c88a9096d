"""Rows of the calibration exhibit: are the nominal 95 % intervals honest at this size?"""

from typing import TYPE_CHECKING

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from lib.estimators.calibration import METRICS, Design, calibration_table
from lib.estimators.calibration_lags import Market, calibrate_lags
from lib.sandbox.world import planted_rho_s

if TYPE_CHECKING:
    from lib.study import Study

PANELS = 1000
RHOS = (0.0, 0.4, 0.8, 0.95)
ACCEPTED = (0.93, 0.97)
"""Coverage that passes for 95 %."""


def calibrated(study: "Study") -> pd.DataFrame:
    """Thousand simulated panels a design, of the profile's size; cached in the run's store.

    Returns
    -------
    DataFrame
        One row an estimator and level of rho (the cross-section has none): ``truth, bias,
        bias_se, coverage, coverage_independent, coverage_wild, size, power`` and the design.
    """
    given = study.profile.forecasting
    designs = [Design(rho, float(planted_rho_s(rho)), given.series, given.rounds, given.history,
                      given.sigma) for rho in RHOS]
    inputs = {"designs": designs, "panels": PANELS, "seed": study.seed}

    def make() -> pd.DataFrame:
        panels = calibration_table(designs, METRICS, PANELS, seed=study.seed)
        return pd.concat([panels, calibrate_lags(Market(), PANELS, seed=study.seed)])

    return study.store.frame("calibration", inputs, make, code=[__name__])


def coverage_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Coverage, bias and power as exhibit rows; the arm is the estimator.

    The interval of a share is Wilson's over the simulated panels, that of a bias normal.
    """
    parts = []
    for _, one in table.iterrows():
        condition = "stocks" if pd.isna(one["rho"]) else f"rho {one['rho']:g}"
        n = int(one["panels"])
        for metric in ("coverage", "power"):
            low, high = proportion_confint(one[metric] * n, n, method="wilson")
            parts.append((one["metric"], condition, metric, one[metric], low, high, n))
        reach = 1.96 * one["bias_se"]
        parts.append((one["metric"], condition, "bias", one["bias"], one["bias"] - reach,
                      one["bias"] + reach, n))
    columns = ["arm", "condition", "metric", "value", "low", "high", "n"]
    return pd.DataFrame(parts, columns=columns).assign(seeds="")
