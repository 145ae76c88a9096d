"""The columns that every item frame shares."""

import pandas as pd


def item_frame(axis: str, benchmark: str, item: list, cluster: list, **columns) -> pd.DataFrame:
    """One row per evaluated item: axis, benchmark, item, cluster, then the axis's own columns.

    Nothing is averaged here. Intervals downstream resample or cluster these rows.
    """
    frame = pd.DataFrame({"item": item, "cluster": cluster, **columns})
    frame.insert(0, "axis", axis)
    frame.insert(1, "benchmark", benchmark)
    return frame
