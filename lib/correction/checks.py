"""A merged model is its adapter, and costs nothing at inference."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lib.arms import ADAPTER, MODEL
from lib.models import load
from lib.sandbox.tokenizer import number_id
from lib.sandbox.world import NUMBERS
from lib.scoring import next_token_logprobs


def merged_gap(folder: Path, prompts: Sequence[Sequence[int]]) -> float:
    """Largest difference of log-probabilities between adapter and merged model, any prompt."""
    numbers = [number_id(n) for n in NUMBERS]
    adapter, merged = (
        next_token_logprobs(load(folder / part), prompts, numbers) for part in (ADAPTER, MODEL)
    )
    return float(np.abs(adapter - merged).max())


def latency(
    base: Path, folder: Path, prompts: Sequence[Sequence[int]], repeats: int = 7
) -> pd.Series:
    """Time of a forecast relative to the base: with the adapter beside it, and merged.

    The three take turns, so that a busy moment of the machine hits all of them; the least of the
    repeats is compared.
    """
    models = {"base": load(base), "adapter": load(folder / ADAPTER), "merged": load(folder / MODEL)}
    target = [number_id(n) for n in NUMBERS]
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(repeats):
        for name, model in models.items():
            start = time.perf_counter()
            next_token_logprobs(model, prompts, target)
            seconds[name].append(time.perf_counter() - start)
    least = pd.Series({name: min(values) for name, values in seconds.items()})
    return (least / least["base"]).rename("time / base")
