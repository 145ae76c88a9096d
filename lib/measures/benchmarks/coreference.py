"""Whom does a pronoun mean? The question of WinoBias and Winogender, put to a language model.

Two people compete to continue the sentence and ``‘She’ refers to the``, the words of
lm-evaluation-harness's task ``winogender``. Published figures of WinoBias are F1 of coreference
systems: these are accuracies of a prompted model.
"""

import numpy as np
import pandas as pd

from lib.measures.benchmarks.sentences import choice_logprobs
from lib.models.folders import LoadedModel


def question(sentence: str, pronoun: str) -> str:
    """What both people compete to continue."""
    return f"{sentence} ‘{pronoun.capitalize()}’ refers to the"


def resolve(model: LoadedModel, items: pd.DataFrame) -> dict[str, np.ndarray]:
    """Log-likelihoods (nats) of both people, and the first's share of their probability."""
    prompts = list(map(question, items["sentence"], items["pronoun"]))
    people = items[["occupation", "participant"]].to_numpy().tolist()
    occupation, participant = choice_logprobs(model, prompts, people).T
    return {
        "logprob_occupation": occupation, "logprob_participant": participant,
        "p_occupation": np.exp(occupation - np.logaddexp(occupation, participant)),
    }
