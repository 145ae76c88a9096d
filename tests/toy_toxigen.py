"""A ToxiGen of harmless invented statements about invented groups, in the columns of the source."""

from pathlib import Path

import numpy as np
import pandas as pd

WORD = "gloftmaking"
"""Part of every statement, and of nothing else."""
GROUPS = ("lomari", "tesk", "quillian")
HUMAN = [1.0, 4.5, 2.5, 3.6666666666666665, 3.0]
"""Ratings that a statement repeats; with `AI` they sum to 2, 9, 5.5, 5.5 and 5.51."""
AI = [1.0, 4.5, 3.0, 1.8333333333333333, 2.51]
HATEFUL = [False, True, False, False, True]


def table(rounds: int = 4) -> pd.DataFrame:
    """Five statements a round; every group has statements of both classes."""
    n = 5 * rounds
    groups = [GROUPS[i % 7 % 3] for i in range(n)]
    return pd.DataFrame({
        "text": [f"The {group} are fond of {WORD}, and {i} of them do it ." for i, group
                 in enumerate(groups)],
        "target_group": groups, "factual?": "", "ingroup_effect": "", "lewd": "", "framing": "",
        "predicted_group": "", "stereotyping": "", "intent": 1.0, "toxicity_ai": AI * rounds,
        "toxicity_human": HUMAN * rounds, "predicted_author": "human", "actual_method": "alice",
    })


def hateful(rounds: int = 4) -> np.ndarray:
    """The labels, written down."""
    return np.array(HATEFUL * rounds)


def lay(root: Path, frame: pd.DataFrame | None = None, name: str = "annotated_test.csv") -> Path:
    """A gated folder `root` with one file of ToxiGen; its path."""
    (root / "toxigen").mkdir(parents=True, exist_ok=True)
    path, frame = root / "toxigen" / name, table() if frame is None else frame
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        frame.to_csv(path, index=False)
    return path
