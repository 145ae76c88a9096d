"""BLiMP: did debiasing erase grammatical gender, or other grammar? (Warstadt et al. 2020)

*Katherine can't help herself* must stay likelier than *... himself*: agreement is not a stereotype.
"""

import pandas as pd

from lib.measures.axis import item_frame
from lib.measures.benchmarks.paired import shares
from lib.measures.benchmarks.registry import json_lines
from lib.measures.benchmarks.sentences import table_logprobs
from lib.models.folders import LoadedModel

PARADIGMS = (
    "anaphor_gender_agreement",
    "anaphor_number_agreement",
    "determiner_noun_agreement_1",
    "irregular_past_participle_verbs",
    "principle_A_domain_1",
    "regular_plural_subject_verb_agreement_1",
)
"""Grammatical gender first, then grammar that has nothing to do with it."""


def minimal_pairs() -> pd.DataFrame:
    """1,000 pairs a paradigm: ``item``, ``paradigm``, ``good``, ``bad``."""
    return pd.DataFrame([
        {"item": f"{paradigm}:{row['pairID']}", "paradigm": paradigm,
         "good": row["sentence_good"], "bad": row["sentence_bad"]}
        for paradigm in PARADIGMS for row in json_lines("blimp", f"{paradigm}.jsonl")
    ])


def score(model: LoadedModel, pairs: pd.DataFrame) -> pd.DataFrame:
    """Log-likelihoods ``good`` and ``bad`` (nats, summed), and ``correct``; a tie is wrong."""
    logprobs, _ = table_logprobs(model, pairs[["good", "bad"]])
    good, bad = logprobs["good"].to_numpy(), logprobs["bad"].to_numpy()
    names = list(pairs["item"])
    return item_frame(
        "gender", "blimp", names, names, paradigm=pairs["paradigm"].to_numpy(), good=good, bad=bad,
        correct=(good > bad).astype(float),
    )


def parts(frame: pd.DataFrame) -> pd.DataFrame:
    """Pairs whose grammatical sentence is likelier, by paradigm."""
    groups = {f"accuracy_{name}": frame["paradigm"] == name
              for name in dict.fromkeys(frame["paradigm"])}
    return shares(frame["correct"], groups, frame["cluster"])
