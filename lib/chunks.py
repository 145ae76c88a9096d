"""Where to cut sequences of unequal length, so that padding costs least."""

import numpy as np

CHUNK_COST = 150
"""What a chunk costs beside its tokens, in tokens: the fixed work of a pass on a small model."""


def cuts(lengths: np.ndarray) -> list[int]:
    """Where to cut rows sorted by length, so that all chunks together cost least.

    A chunk of n rows costs ``n * longest + CHUNK_COST`` tokens. A few long chats among many short
    texts would otherwise pad half of a step to their length.
    """
    values, counts = np.unique(lengths, return_counts=True)
    ends = np.concatenate([[0], np.cumsum(counts)])
    least, start = [0.0], [0]
    for j, longest in enumerate(values, start=1):
        costs = np.array(least) + (ends[j] - ends[:j]) * longest + CHUNK_COST
        least.append(float(costs.min()))
        start.append(int(costs.argmin()))
    found, j = [], start[-1]
    while j > 0:
        found.append(int(ends[j]))
        j = start[j]
    return found[::-1]
