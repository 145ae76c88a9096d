"""Runs summed up over base models, the unit of inference."""

import pandas as pd

from lib.statistics.estimate import Estimate

RUN_COLUMNS = ["arm", "condition", "metric", "base", "seed", "value", "se", "df", "n", "least",
               "most"]


def run_rows(table: pd.DataFrame, arm: object, base: int, seed: int) -> pd.DataFrame:
    """The metric table of one run (or its estimates by rho) as rows of a run table."""
    tidy = table.rename(columns={"rho": "condition", "name": "metric"})
    tidy = tidy.assign(arm=[arm] * len(tidy), base=base, seed=seed)
    return tidy.reindex(columns=RUN_COLUMNS)


def run_row(
    estimate: Estimate, arm: object, condition: object, base: int, seed: int
) -> pd.DataFrame:
    """One estimate of a run as a row of a run table."""
    table = pd.DataFrame([vars(estimate) | {"condition": condition}])
    return run_rows(table, arm, base, seed)
