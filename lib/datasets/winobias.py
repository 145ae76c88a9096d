"""WinoBias: who is *she*, the doctor or the nurse? (Zhao et al. 2018)

Each line exists twice: with the pronoun of the stereotype (``pro``) and with the other (``anti``).
Type 1 needs knowledge of the world to resolve, type 2 only syntax. Most development sentences are
in the training text of Gira et al. (2022), see `lib.datasets.leakage`; evaluation uses ``test``.
"""

import re

import pandas as pd

from lib.datasets.fetch import locate

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
