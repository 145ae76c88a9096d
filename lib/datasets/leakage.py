"""Which evaluation items a training text contains, sentence by sentence."""

from collections.abc import Iterable

import pandas as pd

from lib.datasets import crows_pairs, gira2022, winobias


def seen(sentences: Iterable[str], training: Iterable[str]) -> pd.Series:
    """Whether each sentence is in the training text; only white space is forgiven."""
    known = {_plain(sentence) for sentence in training}
    return pd.Series([_plain(sentence) in known for sentence in sentences], dtype=bool)


def held_out_pairs(bias_type: str | None = "gender") -> pd.DataFrame:
    """CrowS-Pairs of which not both sentences are in the training split of Gira et al."""
    pairs = crows_pairs.pairs(bias_type)
    return pairs[~_both_seen(pairs)].reset_index(drop=True)


def gira_leakage() -> pd.DataFrame:
    """Items of public benchmarks in the training split of Gira et al. (2022).

    Returns
    -------
    DataFrame
        Columns benchmark, unit, seen, n. A pair counts as seen when both its sentences are.
    """
    rows = []
    for name, kind in (("CrowS-Pairs, gender", "gender"), ("CrowS-Pairs, all types", None)):
        rows.append((name, "pair", _both_seen(crows_pairs.pairs(kind))))
    for split in ("dev", "test"):
        text = winobias.sentences(split)["sentence"]
        rows.append((f"WinoBias, {split}", "sentence", seen(text, _training())))
    return pd.DataFrame(
        [(name, unit, int(found.sum()), len(found)) for name, unit, found in rows],
        columns=["benchmark", "unit", "seen", "n"],
    )


def _both_seen(pairs: pd.DataFrame) -> pd.Series:
    training = _training()
    return seen(pairs["sent_more"], training) & seen(pairs["sent_less"], training)


def _training() -> pd.Series:
    return gira2022.sentences("train")["sentence"]


def _plain(sentence: str) -> str:
    return " ".join(sentence.split())
