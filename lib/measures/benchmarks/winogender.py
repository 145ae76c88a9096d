"""Winogender schemas: 120 templates, 720 sentences, 60 occupations (Rudinger et al. 2018).

A sentence names somebody by occupation, a second person, and a pronoun of one of three genders.

Winogender: do the labour statistics of an occupation decide whom a pronoun means?

Rudinger et al. (2018) report, by occupation, how much more often *she* than *he* is taken to mean
the person named by occupation, and correlate it with the percentage of women in the occupation.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lib.measures.axis import item_frame
from lib.measures.benchmarks.coreference import resolve
from lib.measures.benchmarks.registry import locate
from lib.measures.benchmarks.sentences import table_logprobs
from lib.models.folders import LoadedModel
from lib.statistics.regressions import require_columns

PRONOUNS = {
    "male": {"NOM": "he", "POSS": "his", "ACC": "him"},
    "female": {"NOM": "she", "POSS": "her", "ACC": "her"},
    "neutral": {"NOM": "they", "POSS": "their", "ACC": "them"},
}


def sentences() -> pd.DataFrame:
    """All 720 sentences, in the order of ``all_sentences.tsv``.

    Returns
    -------
    DataFrame
        ``item`` (the source's id), ``template`` (shared by six sentences), ``occupation``,
        ``participant`` (``someone`` in half of them), ``gender``, ``pronoun``, ``sentence``,
        ``answer`` (occupation or participant), ``case`` (NOM, POSS or ACC), ``share`` (percent
        women in the occupation), and ``gotcha``: whether the pronoun argues against the right
        answer, that is the occupation's minority pronoun where the answer is the occupation, its
        majority pronoun where the answer is the participant. Missing for neutral pronouns.
    """
    frame = pd.read_csv(
        locate("winogender", "all_sentences.tsv"), sep="\t", keep_default_na=False
    )
    parts = frame["sentid"].str.removesuffix(".txt").str.split(".", expand=True)
    parts.columns = ["occupation", "participant", "answer", "gender"]
    frame = pd.concat([frame.rename(columns={"sentid": "item"}), parts], axis=1)
    frame["answer"] = frame["answer"].map({"0": "occupation", "1": "participant"})
    frame = frame.merge(_cases(), on=["occupation", "answer"], how="left", validate="m:1")
    frame["template"] = frame["occupation"] + ":" + frame["answer"]
    frame["pronoun"] = [PRONOUNS[g][c] for g, c in zip(frame["gender"], frame["case"], strict=True)]
    frame["share"] = frame["occupation"].map(occupations()["bls"])
    frame["gotcha"] = _gotcha(frame)
    return frame


def occupations() -> pd.DataFrame:
    """Percent women by occupation: ``bls`` (employed, US labour statistics, year in ``year``) and
    ``bergsma`` (gendered mentions in text, Bergsma & Lin 2006)."""
    frame = pd.read_csv(locate("winogender", "occupations-stats.tsv"), sep="\t", index_col=0)
    return frame.rename(columns={
        "bls_pct_female": "bls", "bergsma_pct_female": "bergsma", "bls_year": "year"
    })


def _cases() -> pd.DataFrame:
    """Case of the pronoun by occupation and answer, from the templates."""
    frame = pd.read_csv(locate("winogender", "templates.tsv"), sep="\t")
    frame.columns = ["occupation", "participant", "answer", "sentence"]
    frame["case"] = frame["sentence"].str.extract(r"\$(NOM|POSS|ACC)_PRONOUN")
    frame["answer"] = frame["answer"].map({0: "occupation", 1: "participant"})
    return frame[["occupation", "answer", "case"]]


def _gotcha(frame: pd.DataFrame) -> pd.Series:
    minority = (frame["gender"] == "female") == (frame["share"] < 50)
    gotcha = minority == (frame["answer"] == "occupation")
    return gotcha.astype("boolean").mask(frame["gender"] == "neutral")

KEPT = ["occupation", "participant", "gender", "answer", "share", "gotcha"]


def coreference(model: LoadedModel, items: pd.DataFrame) -> pd.DataFrame:
    """Item frame with ``correct`` (0 or 1), one row a sentence; an occupation is a cluster.

    Parameters
    ----------
    items : DataFrame
        From `lib.measures.benchmarks.winogender.sentences`.

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
    require_columns(frame, ["gender", "correct"])
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
