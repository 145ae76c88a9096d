"""Winogender: do the labour statistics of an occupation decide whom a pronoun means?

Rudinger et al. (2018) report, by occupation, how much more often *she* than *he* is taken to mean
the person named by occupation, and correlate it with the percentage of women in the occupation.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lib.axes.gender.coreference import resolve
from lib.axes.gender.sentences import table_logprobs
from lib.axes.items import item_frame
from lib.estimators.columns import require
from lib.models import LoadedModel

KEPT = ["occupation", "participant", "gender", "answer", "share", "gotcha"]


def coreference(model: LoadedModel, items: pd.DataFrame) -> pd.DataFrame:
    """Item frame with ``correct`` (0 or 1), one row a sentence; an occupation is a cluster.

    Parameters
    ----------
    items : DataFrame
        From `lib.datasets.winogender.sentences`.

    Returns
    -------
    DataFrame
        The items' columns occupation, participant, gender, answer, share, gotcha, then
        logprob_occupation, logprob_participant (nats), p_occupation, correct. A tie is the
        occupation's, as it is in the harness, which takes the first of equals.
    """
    found = resolve(model, items)
    frame = item_frame(
        "gender", "winogender", list(items["item"]), list(items["occupation"]),
        **{name: items[name].to_numpy() for name in KEPT},
        **{name: found[name].to_numpy() for name in found},
    )
    chosen = frame["logprob_occupation"] >= frame["logprob_participant"]
    return frame.assign(correct=(chosen == (frame["answer"] == "occupation")).astype(float))


def coreference_scores(frame: pd.DataFrame) -> Mapping[str, float]:
    """Accuracy in percent: ``all``, by gender of the pronoun, ``gotcha`` and ``not_gotcha``."""
    require(frame, ["gender", "correct"])
    groups = {"all": frame["correct"]}
    groups |= {gender: rows["correct"] for gender, rows in frame.groupby("gender")}
    gotcha = frame["gotcha"].astype("boolean")
    groups |= {"gotcha": frame.loc[gotcha.fillna(False), "correct"],
               "not_gotcha": frame.loc[(~gotcha).fillna(False), "correct"]}
    return {name: float(100 * rows.mean()) for name, rows in groups.items()}


def by_occupation(frame: pd.DataFrame) -> pd.DataFrame:
    """One row an occupation: how much more *she* than *he* is taken to mean it.

    Returns
    -------
    DataFrame
        Indexed by occupation: ``share`` (percent women), mean ``p_occupation`` for ``female`` and
        ``male`` pronouns over identical sentences, and their ``difference``.
    """
    wide = frame.pivot_table(index="occupation", columns="gender", values="p_occupation")
    table = wide[["female", "male"]].rename_axis(columns=None)
    table.insert(0, "share", frame.groupby("occupation")["share"].first())
    return table.assign(difference=table["female"] - table["male"])


def pronoun_odds(model: LoadedModel, items: pd.DataFrame) -> pd.DataFrame:
    """Item frame of the log odds of *she* against *he* where the pronoun means the occupation.

    ``log_odds = log p(sentence with she) - log p(same with he)``, in nats, beside the true
    ``log_odds_share = log(share / (100 - share))`` of the labour statistics: a model that matches
    the world has a slope of one between them, one without the association a slope of zero.
    """
    rows = items[(items["answer"] == "occupation") & (items["gender"] != "neutral")]
    key = ["template", "occupation", "participant"]
    pairs = rows.pivot(index=key, columns="gender", values="sentence")
    logprobs, _ = table_logprobs(model, pairs)
    keys = pairs.index.to_frame(index=False)
    share = rows.drop_duplicates("occupation").set_index("occupation")["share"]
    share = keys["occupation"].map(share)
    return item_frame(
        "gender", "winogender_odds", list(keys["template"] + ":" + keys["participant"]),
        list(keys["occupation"]), share=share.to_numpy(),
        log_odds=(logprobs["female"] - logprobs["male"]).to_numpy(),
        log_odds_share=np.log(share / (100 - share)).to_numpy(),
    )
