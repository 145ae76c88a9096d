"""Whom does a pronoun mean? The question of WinoBias and Winogender, put to a language model.

The sentence is followed by ``‘She’ refers to the``, and two people compete to continue it. The
words are lm-evaluation-harness's (its task ``winogender``); the harness has no task for WinoBias.
"""

import numpy as np
import pandas as pd

from lib.measures.benchmarks.sentences import choice_logprobs
from lib.models.folders import LoadedModel


def resolve(model: LoadedModel, items: pd.DataFrame) -> pd.DataFrame:
    """Log-likelihoods of both people.

    Parameters
    ----------
    items : DataFrame
        Columns ``sentence``, ``pronoun``, ``occupation``, ``participant``.

    Returns
    -------
    DataFrame
        ``logprob_occupation``, ``logprob_participant`` (nats), and ``p_occupation``: the first's
        share of the probability of both. The index is that of ``items``.
    """
    prompts = [
        f"{sentence} ‘{pronoun.capitalize()}’ refers to the"
        for sentence, pronoun in zip(items["sentence"], items["pronoun"], strict=True)
    ]
    people = items[["occupation", "participant"]].to_numpy().tolist()
    occupation, participant = choice_logprobs(model, prompts, people).T
    return pd.DataFrame({
        "logprob_occupation": occupation, "logprob_participant": participant,
        "p_occupation": np.exp(occupation - np.logaddexp(occupation, participant)),
    }, index=items.index)
