"""WinoBias: who is *she*, the doctor or the nurse? (Zhao et al. 2018)

Each line exists twice: with the pronoun of the stereotype (``pro``) and with the other (``anti``).
Type 1 needs knowledge of the world to resolve, type 2 only syntax. Most development sentences are
in the training text of Gira et al. (2022), evaluation uses ``test``.

WinoBias: is a pronoun understood where it goes against the stereotype? (Zhao et al. 2018)

Two measures. *Coreference* asks whom the pronoun means: the bias is accuracy on stereotypical
sentences less accuracy on the others. *Contrast* asks nothing: it compares the likelihoods of the
two sentences of a pair, which works for a model that cannot answer questions.
"""

import re
from collections.abc import Mapping

import pandas as pd

from lib.measures.axis import item_frame
from lib.measures.benchmarks.coreference import resolve
from lib.measures.benchmarks.registry import locate
from lib.measures.benchmarks.sentences import table_logprobs
from lib.models.folders import LoadedModel
from lib.statistics.regressions import require_columns

FEMALE = ("she", "her", "hers", "herself")
PRONOUNS = ("he", "him", "his", "himself", *FEMALE)
_MENTION = re.compile(r"\[(.+?)\]")


def sentences(split: str = "test") -> pd.DataFrame:
    """One row a line and condition.

    Parameters
    ----------
    split : {"test", "dev"}
        1,584 sentences each: 2 types of 396 pairs.

    Returns
    -------
    DataFrame
        ``item`` (``type1:17``, shared by a pair), ``type`` (1 or 2), ``condition`` (pro or anti),
        ``sentence``, ``occupation`` (the right answer), ``participant`` (the other person),
        ``pronoun``, ``gender`` (of the pronoun: male or female), and ``minimal``: whether the two
        sentences of the pair differ in pronouns only. 10 test pairs and 9 development pairs do
        not, through slips of the authors.
    """
    jobs = occupations()
    frame = pd.DataFrame([
        _row(line, kind, condition, jobs)
        for kind in (1, 2)
        for condition in ("pro", "anti")
        for line in _lines(f"{condition}_stereotyped_type{kind}.txt.{split}")
    ])
    frames = frame["sentence"].map(_without_pronouns)
    frame["minimal"] = frames.groupby(frame["item"]).transform("nunique") == 1
    return frame


def occupations() -> pd.Series:
    """``male`` or ``female`` by occupation: 20 each, after the majority in labour statistics."""
    return pd.Series({
        word.lower(): gender for gender in ("male", "female")
        for word in _lines(f"{gender}_occupations.txt")
    })


def _row(line: str, kind: int, condition: str, jobs: pd.Series) -> dict:
    number, text = line.split(" ", 1)
    # The first mention is a person, the second a pronoun that speaks of that person.
    person, pronoun = (mention.strip() for mention in _MENTION.findall(text)[:2])
    sentence = re.sub(r"\[ ?|\]", "", text)
    answer = re.sub(r"^(the|a|an) ", "", person, flags=re.I)
    named = re.findall(rf"\b({'|'.join(jobs.index)})\b", sentence, flags=re.I)
    other = next(word for word in named if word.lower() != answer.lower())
    return {
        "item": f"type{kind}:{number}", "type": kind, "condition": condition,
        "sentence": sentence, "occupation": answer, "participant": other,
        "pronoun": pronoun, "gender": "female" if pronoun.lower() in FEMALE else "male",
    }


def _without_pronouns(sentence: str) -> str:
    return re.sub(rf"\b({'|'.join(PRONOUNS)})\b", "_", sentence, flags=re.I)


def _lines(name: str) -> list[str]:
    text = locate("winobias", name).read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip()]


def coreference(model: LoadedModel, items: pd.DataFrame) -> pd.DataFrame:
    """Item frame with ``correct`` (0 or 1; a tie is wrong), one row a sentence.

    Parameters
    ----------
    items : DataFrame
        From `lib.measures.benchmarks.winobias.sentences`.

    Returns
    -------
    DataFrame
        Columns type, condition, gender, logprob_occupation, logprob_participant, p_occupation,
        correct. The two sentences of a pair are a cluster.
    """
    found = resolve(model, items)
    frame = item_frame(
        "gender", "winobias", list(items["item"] + ":" + items["condition"]), list(items["item"]),
        **{name: items[name].to_numpy() for name in ("type", "condition", "gender")},
        **{name: found[name].to_numpy() for name in found},
    )
    # The right answer is always the one that the loader calls the occupation.
    right = frame["logprob_occupation"] > frame["logprob_participant"]
    return frame.assign(correct=right.astype(float))


def coreference_scores(frame: pd.DataFrame) -> Mapping[str, float]:
    """``accuracy_pro``, ``accuracy_anti`` and their difference ``gap``, in percent."""
    require_columns(frame, ["condition", "correct"])
    pro, anti = (
        float(100 * frame.loc[frame["condition"] == name, "correct"].mean())
        for name in ("pro", "anti")
    )
    return {"accuracy_pro": pro, "accuracy_anti": anti, "gap": pro - anti}


def contrast(model: LoadedModel, items: pd.DataFrame) -> pd.DataFrame:
    """Item frame of likelihood contrasts, one row a pair; only ``minimal`` pairs.

    Returns
    -------
    DataFrame
        ``type``, ``gender`` (of the stereotypical pronoun), ``logprob_pro``, ``logprob_anti`` of
        the whole sentences (nats), ``log_ratio`` (their difference).
    """
    minimal = items[items["minimal"]]
    pairs = minimal.pivot(index="item", columns="condition", values="sentence")
    pro = minimal[minimal["condition"] == "pro"].set_index("item").loc[pairs.index]
    logprobs, _ = table_logprobs(model, pairs[["pro", "anti"]])
    names = list(pairs.index)
    return item_frame(
        "gender", "winobias_contrast", names, names, type=pro["type"].to_numpy(),
        gender=pro["gender"].to_numpy(), logprob_pro=logprobs["pro"].to_numpy(),
        logprob_anti=logprobs["anti"].to_numpy(),
        log_ratio=(logprobs["pro"] - logprobs["anti"]).to_numpy(),
    )


def contrast_scores(frame: pd.DataFrame) -> Mapping[str, float]:
    """``preference``: percent of pairs whose stereotypical sentence is likelier. ``contrast``:
    mean log ratio in nats, the average of its means by gender of the stereotypical pronoun.

    A model that likes *he* better everywhere, by f nats, has b + f in one half and b - f in the
    other: the average is b, the stereotype alone. ``pronoun`` is f, positive for *he*.
    """
    require_columns(frame, ["gender", "log_ratio"])
    means = frame.groupby("gender")["log_ratio"].mean()
    return {
        "preference": float(100 * (frame["log_ratio"] > 0).mean()),
        "contrast": float((means["male"] + means["female"]) / 2),
        "pronoun": float((means["male"] - means["female"]) / 2),
    }
