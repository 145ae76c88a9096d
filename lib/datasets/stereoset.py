"""StereoSet: one context, three completions, of which one is stereotypical (Nadeem et al. 2021).

Only the *intrasentence* half for gender: 1,026 items. 255 of them are the public development split
of the paper (its scores for GPT-2 are part of the registry), the other 771 are the split on which
Meade et al. (2022) report; their ids tell them apart.
"""

import json

import pandas as pd

from lib.datasets.fetch import locate

LABELS = {"stereotype": "stereotype", "anti-stereotype": "antistereotype", "unrelated": "unrelated"}
"""Labels of the source, and the columns they become."""


def intrasentence() -> pd.DataFrame:
    """The 1,026 gender items, in the order of the source.

    Returns
    -------
    DataFrame
        ``item``, ``split`` (dev or test), ``domain``, ``target`` (the person word), ``context``,
        the sentences ``stereotype``, ``antistereotype``, ``unrelated``, and their ids
        ``stereotype_id``, ``antistereotype_id``, ``unrelated_id``.
    """
    path = locate("stereoset", "editbias_gender_intrasentence_1026.json")
    rows = [_row(item) for item in json.loads(path.read_text(encoding="utf-8"))]
    frame = pd.DataFrame(rows)
    dev = frame["stereotype_id"].isin(published_scores().index)
    frame.insert(1, "split", dev.map({True: "dev", False: "test"}))
    return frame


def _row(item: dict) -> dict:
    row = {"item": item["id"], "domain": item["bias_type"], "target": item["target"],
           "context": item["context"]}
    for label, column in LABELS.items():
        row |= {column: item["data"][label]["sentence"], f"{column}_id": item["data"][label]["id"]}
    return row


def published_scores(task: str = "intrasentence") -> pd.Series:
    """GPT-2's score of each sentence of the development split, as published with the paper.

    Parameters
    ----------
    task : {"intrasentence", "intersentence"}

    Returns
    -------
    Series
        Geometric mean of token probabilities (intrasentence), by sentence id, in the order of the
        publication: three in a row belong to one item.
    """
    path = locate("stereoset", "published_predictions_gpt2_ModelNSP_GPT2LM.json")
    rows = json.loads(path.read_text(encoding="utf-8"))[task]
    return pd.Series({row["id"]: row["score"] for row in rows}, name="score", dtype=float)


def with_scores(items: pd.DataFrame, scores: pd.Series) -> pd.DataFrame:
    """The items with their three sentences replaced by the scores of these sentences.

    Parameters
    ----------
    items : DataFrame
        Of any domain, with the three id columns of `intrasentence`.
    scores : Series
        By sentence id. Items of which a sentence has no score are left out.
    """
    columns = list(LABELS.values())
    scored = items.assign(**{c: items[f"{c}_id"].map(scores) for c in columns})
    return scored.dropna(subset=columns).reset_index(drop=True)
