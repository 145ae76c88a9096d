"""Scores of a made-up arm, and the bootstrap in loops: truth for draws of items and targets."""

import numpy as np
import pandas as pd

from lib.measures.benchmarks.stereoset import stereoset_scores

SENTENCES = ["stereotype", "antistereotype", "unrelated"]
METRICS = ["LMS", "SS", "ICAT"]


def arm(seed, targets=8, items=6, shift=0.0):
    """Scores in which stereotypes are ahead by ``shift``, plus what a target has in common."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(targets * items, 3)), columns=SENTENCES)
    frame["target"] = np.repeat([f"t{i}" for i in range(targets)], items)
    frame["stereotype"] += shift + np.repeat(rng.normal(size=targets), items)
    return frame.assign(item=[f"i{i}" for i in range(len(frame))])


def loop(frames, by, draws, seed):
    """Draw clusters one by one and score what was drawn with the published function."""
    rng, names = np.random.default_rng(seed), list(dict.fromkeys(frames[0][by]))
    found = []
    for counts in rng.multinomial(len(names), [1 / len(names)] * len(names), draws):
        drawn = [name for name, n in zip(names, counts, strict=True) for _ in range(n)]
        if by == "target":  # a word drawn twice is two words
            parts = [[f[f[by] == name].assign(target=f"{name}{i}")
                      for i, name in enumerate(drawn)] for f in frames]
        else:
            parts = [[f[f[by] == name] for name in drawn] for f in frames]
        scores = [stereoset_scores(pd.concat(p)) for p in parts]
        found.append([scores[-1][m] - (scores[0][m] if len(frames) == 2 else 0)
                      for m in METRICS])
    return np.array(found)
