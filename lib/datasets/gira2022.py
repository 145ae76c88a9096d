"""Gira, Zhang & Lee (2022): their training text, and the official results of their ten runs an arm.

The text is WinoBias (development files, both conditions) and CrowS-Pairs (all types, both
sentences), 4,600 sentences in pairs; so neither can measure a model trained on it.
"""

import json

import pandas as pd

from lib.datasets.fetch import locate

ARMS = ("ln", "ln_wpe", "ln_wpe_wte", "ln_wpe_wte_io", "full")
"""What is trained: layer norms, + positions, + token embeddings, + linear maps, everything."""
SCORES = {"LM Score": "LMS", "SS Score": "SS", "ICAT Score": "ICAT"}


def sentences(split: str = "train") -> pd.DataFrame:
    """``pair`` and ``sentence`` of a split, in the order in which their code reads it.

    Parameters
    ----------
    split : {"train", "validation", "test"}
        3,680, 460 and 460 sentences. Two in a row are a pair.
    """
    text = locate("gira2022", f"official_split/{split}.txt").read_text(encoding="utf-8")
    lines = text.splitlines()
    return pd.DataFrame({"pair": [i // 2 for i in range(len(lines))], "sentence": lines})


def official_results() -> pd.DataFrame:
    """StereoSet intrasentence scores (development split) of every official run.

    Returns
    -------
    DataFrame
        Columns arm, trial (0 to 9), domain (gender, profession, race, religion, overall), metric
        (LMS, SS, ICAT), value. Only dropout differs between trials of an arm.
    """
    return pd.DataFrame([row for arm in ARMS for row in _results(arm)])


def baseline_results() -> pd.DataFrame:
    """The same scores of the model before training: domain, metric, value.

    They are those that StereoSet's authors published for GPT-2.
    """
    path = locate("gira2022", "official_results/stereo_eval_baseline_gpt2.json")
    found = json.loads(path.read_text(encoding="utf-8"))["gpt2"]["intrasentence"]
    return pd.DataFrame([
        {"domain": domain, "metric": short, "value": scores[long]}
        for domain, scores in found.items() for long, short in SCORES.items()
    ])


def official_settings() -> pd.DataFrame:
    """What was trained and how, one row an arm, as recorded beside the results."""
    return pd.DataFrame({arm: _read(arm)["combination"] for arm in ARMS}).T.rename_axis("arm")


def _results(arm: str) -> list[dict]:
    return [
        {"arm": arm, "trial": trial, "domain": domain, "metric": short, "value": value}
        for domain, scores in _read(arm)["results"]["intrasentence"].items()
        for long, short in SCORES.items()
        for trial, value in enumerate(scores[long])
    ]


def _read(arm: str) -> dict:
    path = locate("gira2022", f"official_results/unprejudiced_{arm}.json")
    return json.loads(path.read_text(encoding="utf-8"))
