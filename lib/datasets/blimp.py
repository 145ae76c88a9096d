"""BLiMP: minimal pairs of a grammatical and an ungrammatical sentence (Warstadt et al. 2020)."""

import json

import pandas as pd

from lib.datasets.fetch import locate

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
