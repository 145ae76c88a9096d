"""Run tables of invented arms on invented bases, and exhibit rows made from them by hand."""

import zlib

import numpy as np
import pandas as pd


def run_table(metric, means, bases=12, seeds=2, spread=0.05, coin=False):
    """A row a run: `means` of each (arm, condition), or the share of runs that stay whole."""
    rng = np.random.default_rng([bases, zlib.crc32(metric.encode())])
    rows = []
    for (arm, condition), mean in means.items():
        for run in range(bases * seeds):
            noise = rng.normal(0, 0.02 if coin else spread)
            value = np.clip(0.97 * (rng.random() < mean) + noise, 0, 1) if coin else mean + noise
            rows.append((arm, condition, metric, 1 + run // seeds, run % seeds, value))
    return pd.DataFrame(rows, columns=["arm", "condition", "metric", "base", "seed", "value"])


def exhibit_rows(runs, *more):
    """Mean of all runs of a cell, two standard errors to each side."""
    cells = runs.groupby(["arm", "condition", "metric", *more], sort=False)["value"]
    table = cells.agg(value="mean", spread="std", runs="size").reset_index()
    reach = 2 * table["spread"] / np.sqrt(table["runs"])
    return table.assign(low=table["value"] - reach, high=table["value"] + reach, n=100,
                        bases=table["runs"] // 2)


def broken_table(runs):
    """Whether each run that is not the base is broken."""
    tuned = runs[runs["arm"] != "base"]
    return tuned.assign(metric="broken_share", value=(tuned["value"] < 0.5).astype(float))
