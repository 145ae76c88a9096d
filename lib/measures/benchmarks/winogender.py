"""Winogender: do the labour statistics of an occupation decide whom a pronoun means?

120 templates, 720 sentences, 60 occupations (Rudinger et al. 2018): somebody named by occupation, a
second person, and a pronoun of one of three genders. Two questions are put:

* *coreference*: whom does the pronoun mean? Accuracy, and accuracy where the pronoun misleads.
* *odds*: how much likelier is *she* than *he* where the pronoun means the occupation? The slope on
  the log odds of the labour statistics is one for a model that matches the world, zero for one
  without the association. It works for models that cannot answer questions.
"""

import numpy as np
import pandas as pd

from lib.measures.axis import item_frame
from lib.measures.benchmarks.coreference import resolve
from lib.measures.benchmarks.paired import Sums, shares
from lib.measures.benchmarks.registry import locate
from lib.measures.benchmarks.sentences import table_logprobs
from lib.models.folders import LoadedModel

PRONOUNS = {
    "male": {"NOM": "he", "POSS": "his", "ACC": "him"},
    "female": {"NOM": "she", "POSS": "her", "ACC": "her"},
    "neutral": {"NOM": "they", "POSS": "their", "ACC": "them"},
}
ANSWERS = ("occupation", "participant")
"""Whom a template's pronoun means, by the number that the source gives."""
KEPT = ["occupation", "participant", "gender", "answer", "share", "gotcha"]


def sentences() -> pd.DataFrame:
    """All 720 sentences, in the order of the source.

    ``template`` is shared by six, ``participant`` is ``someone`` in half of them, ``share`` the
    percentage of women in the occupation (US labour statistics), ``gotcha`` whether the pronoun
    argues against the right answer.
    """
    frame = _table("all_sentences.tsv", keep_default_na=False)
    parts = frame["sentid"].str.removesuffix(".txt").str.split(".", expand=True)
    parts.columns = ["occupation", "participant", "answer", "gender"]
    frame = pd.concat([frame.rename(columns={"sentid": "item"}), parts], axis=1)
    frame["answer"] = [ANSWERS[int(number)] for number in frame["answer"]]
    frame = frame.merge(_cases(), on=["occupation", "answer"], how="left", validate="m:1")
    frame["template"] = frame["occupation"] + ":" + frame["answer"]
    frame["pronoun"] = [PRONOUNS[g][c] for g, c in zip(frame["gender"], frame["case"], strict=True)]
    statistics = _table("occupations-stats.tsv", index_col=0)
    frame["share"] = frame["occupation"].map(statistics["bls_pct_female"])
    frame["gotcha"] = _gotcha(frame)
    return frame


def _table(name: str, **options) -> pd.DataFrame:
    return pd.read_csv(locate("winogender", name), sep="\t", **options)


def _cases() -> pd.DataFrame:
    """Case of the pronoun by occupation and answer, from the templates."""
    frame = _table("templates.tsv")
    frame.columns = ["occupation", "participant", "answer", "sentence"]
    frame["case"] = frame["sentence"].str.extract(r"\$(NOM|POSS|ACC)_PRONOUN")
    frame["answer"] = [ANSWERS[number] for number in frame["answer"]]
    return frame[["occupation", "answer", "case"]]


def _gotcha(frame: pd.DataFrame) -> pd.Series:
    """The occupation's minority pronoun where it is the answer, its majority pronoun where not."""
    minority = (frame["gender"] == "female") == (frame["share"] < 50)
    gotcha = minority == (frame["answer"] == "occupation")
    return gotcha.astype("boolean").mask(frame["gender"] == "neutral")


def score(model: LoadedModel, items: pd.DataFrame) -> pd.DataFrame:
    """Item frame of the coreference question: `KEPT`, `resolve`'s columns, ``correct`` (0 or 1).

    Occupations are clusters. A tie is the occupation's, as in the harness.
    """
    found = resolve(model, items)
    chosen = found["logprob_occupation"] >= found["logprob_participant"]
    right = chosen == (items["answer"] == "occupation").to_numpy()
    return item_frame(
        "gender", "winogender", list(items["item"]), list(items["occupation"]),
        **{name: items[name].to_numpy() for name in KEPT}, **found, correct=right.astype(float),
    )


def parts(frame: pd.DataFrame) -> pd.DataFrame:
    """Right answers: of all, by gender of the pronoun, and by whether it misleads."""
    gotcha = frame["gotcha"].astype("boolean")
    groups = {"all": pd.Series(True, frame.index)}
    groups |= {gender: frame["gender"] == gender for gender in PRONOUNS}
    groups |= {"gotcha": gotcha.fillna(False), "not_gotcha": (~gotcha).fillna(False)}
    named = {f"accuracy_{name}": members.astype(bool) for name, members in groups.items()}
    return shares(frame["correct"], named, frame["cluster"])


def pronoun_pairs() -> pd.DataFrame:
    """The 120 sentences whose pronoun means the occupation, ``female`` and ``male``."""
    rows = sentences()
    rows = rows[(rows["answer"] == "occupation") & (rows["gender"] != "neutral")]
    key = ["template", "participant", "occupation", "share"]
    wide = rows.pivot(index=key, columns="gender", values="sentence").reset_index()
    item = wide["template"] + ":" + wide["participant"]
    return wide.assign(item=item)[["item", "occupation", "share", "female", "male"]]


def score_odds(model: LoadedModel, pairs: pd.DataFrame) -> pd.DataFrame:
    """Item frame of ``log_odds = log p(with she) - log p(with he)``, and those of ``share``."""
    logprobs, _ = table_logprobs(model, pairs[["female", "male"]])
    share = pairs["share"].to_numpy()
    return item_frame(
        "gender", "winogender_odds", list(pairs["item"]), list(pairs["occupation"]), share=share,
        log_odds=(logprobs["female"] - logprobs["male"]).to_numpy(),
        log_odds_share=np.log(share / (100 - share)),
    )


def parts_odds(frame: pd.DataFrame) -> pd.DataFrame:
    """Moments of both log odds."""
    x, y = frame["log_odds_share"], frame["log_odds"]
    moments = pd.DataFrame({"n": 1.0, "x": x, "y": y, "xx": x * x, "xy": x * y})
    return moments.set_axis(frame["cluster"])


def metrics_odds(sums: Sums) -> dict[str, np.ndarray]:
    """Least-squares slope of the model's log odds on those of the labour statistics."""
    n, x, y, xx, xy = (sums[name] for name in ("n", "x", "y", "xx", "xy"))
    return {"odds_slope": (n * xy - x * y) / (n * xx - x * x)}
