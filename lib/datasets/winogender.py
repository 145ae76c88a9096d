"""Winogender schemas: 120 templates, 720 sentences, 60 occupations (Rudinger et al. 2018).

A sentence names somebody by occupation, a second person, and a pronoun of one of three genders.
"""

import pandas as pd

from lib.datasets.fetch import locate

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
