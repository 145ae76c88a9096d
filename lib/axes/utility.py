"""General ability: questions with one right answer, and likelihoods beside their true floor."""

import numpy as np
import pandas as pd

from lib.axes.items import item_frame
from lib.models import LoadedModel
from lib.sandbox.corpus import kind_blocks, mixture
from lib.scoring import generate, sequence_logprobs


def answers(model: LoadedModel, n: int, seed: int) -> pd.DataFrame:
    """Item frame of `n` utility questions with ``correct`` (0 or 1)."""
    blocks = kind_blocks("utility", n, 2, np.random.default_rng([seed, 1]))
    prompts = [p for b in blocks for p in b.prompts()]
    right = [model.tokenizer.decode(a[:-1]) for b in blocks for a in b.answers()]
    given = generate(model, prompts, 4)
    task = [str(i) for i, b in enumerate(blocks) for _ in b.ids]
    names = [f"{t}:{i}" for i, t in enumerate(task)]
    correct = [float(g.split() == r.split()) for g, r in zip(given, right, strict=True)]
    return item_frame("utility", "world", names, names, task=task, correct=correct)


def losses(model: LoadedModel, kind: str, n: int, history: int, seed: int) -> pd.DataFrame:
    """Item frame of `n` fresh texts of a kind: ``nll`` and its true ``floor`` (nats), ``tokens``.

    The floor is ``-log p`` of the same text under the generator that wrote it, so the mean
    difference is the model's divergence from the world, not a bound on it.
    """
    blocks = kind_blocks(kind, n, history, np.random.default_rng([seed, 2]))
    prompts = [p for b in blocks for p in b.prompts()]
    told = [a for b in blocks for a in b.answers()]
    scored = sequence_logprobs(model, prompts, told)
    names = [f"{kind}:{i}" for i in range(len(told))]
    return item_frame(
        "utility", kind, names, names, nll=-scored["logprob"].to_numpy(),
        floor=-np.concatenate([b.logp for b in blocks]), tokens=scored["tokens"].to_numpy(),
    )


def perplexity(frame: pd.DataFrame, column: str = "nll") -> float:
    """``exp(sum of nats / number of tokens)``, the end token counted."""
    return float(np.exp(frame[column].sum() / frame["tokens"].sum()))


def floors(model: LoadedModel, n: int, history: int, seed: int) -> pd.DataFrame:
    """Losses of every kind of text but the forbidden answers, which are unlearned on purpose."""
    kinds = [kind for kind in mixture() if kind != "forbidden"]
    return pd.concat([losses(model, k, n, history, seed) for k in kinds], ignore_index=True)
