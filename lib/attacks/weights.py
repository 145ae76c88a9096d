"""How much of each word the token-wise objective lets a model learn, step by step."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lib.finetune.training import HISTORY
from lib.regularizers.tokenwise import COLUMN


def weight_rows(models: Mapping[str, Mapping[int, Path]], arm: str) -> pd.DataFrame:
    """Exhibit rows: ``w_t`` by attack (the condition), ``step`` and ``word``.

    Means over the step's examples, then over training seeds. Words that no answer of a step has
    are left out.

    Parameters
    ----------
    models : mapping
        Attack to training seed to the folder of a model that was fine-tuned, in full, under
        `TokenWise`.
    """
    parts = []
    for kind, folders in models.items():
        weights = pd.concat([_history(folder) for folder in folders.values()])
        means = weights.groupby(["step", "word"], as_index=False)["value"].agg(["mean", "count"])
        parts.append(pd.DataFrame({
            "arm": arm, "condition": kind, "metric": "token_weight", "value": means["mean"],
            "low": None, "high": None, "n": means["count"], "seeds": len(folders),
            "step": means["step"] + 1, "word": means["word"]}))
    return pd.concat(parts, ignore_index=True)


def _history(folder: Path) -> pd.DataFrame:
    """One training's weights in long form: step (from 0), word (from 1), value."""
    wide = pd.read_csv(folder / HISTORY, index_col="step")
    long = wide.melt(ignore_index=False, var_name="word").dropna().reset_index()
    return long.assign(word=long["word"].str.removeprefix(COLUMN).astype(int))
