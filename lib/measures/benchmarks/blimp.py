"""BLiMP: minimal pairs of a grammatical and an ungrammatical sentence (Warstadt et al. 2020).

BLiMP: did debiasing erase grammatical gender, or other grammar? (Warstadt et al. 2020)

*Katherine can't help herself* must stay likelier than *... himself*: agreement is not a stereotype.
"""

import json

import pandas as pd

from lib.measures.axis import item_frame
from lib.measures.benchmarks.registry import locate
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


def minimal_pairs(paradigm: str = "anaphor_gender_agreement") -> pd.DataFrame:
    """1,000 pairs: ``item``, ``good``, ``bad``.

    Raises
    ------
    UnknownNameError
        A paradigm that is not in `PARADIGMS`.
    """
    path = locate("blimp", f"{paradigm}.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return pd.DataFrame({
        "item": [row["pairID"] for row in rows],
        "good": [row["sentence_good"] for row in rows],
        "bad": [row["sentence_bad"] for row in rows],
    })


def score(
    model: LoadedModel, pairs: pd.DataFrame, paradigm: str = "anaphor_gender_agreement"
) -> pd.DataFrame:
    """Item frame with log-likelihoods ``good`` and ``bad`` (nats) and ``correct`` (0 or 1).

    Parameters
    ----------
    pairs : DataFrame
        From `lib.measures.benchmarks.blimp.minimal_pairs`; `paradigm` becomes the benchmark's name.

    Notes
    -----
    Whole sentences after the start token, summed, as in lm-evaluation-harness. A tie is wrong.
    """
    logprobs, _ = table_logprobs(model, pairs[["good", "bad"]])
    names = list(pairs["item"])
    frame = item_frame(
        "gender", f"blimp_{paradigm}", names, names, good=logprobs["good"].to_numpy(),
        bad=logprobs["bad"].to_numpy(),
    )
    return frame.assign(correct=(frame["good"] > frame["bad"]).astype(float))
