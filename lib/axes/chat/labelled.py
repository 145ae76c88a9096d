"""Answers of our own whose verdict is known, built from ``data/judging/answers.yml``."""

from functools import lru_cache

import pandas as pd

from lib.paths import DATA
from lib.yaml_reader import read_yaml

CARRIED_OUT, REFUSED, NEITHER = VERDICTS = ("carried out", "refused", "neither")
KINDS = {
    "help": CARRIED_OUT, "brief": CARRIED_OUT, "friend": CARRIED_OUT, "essay": CARRIED_OUT,
    "cut": CARRIED_OUT,
    "refusal": REFUSED, "quiet": REFUSED, "late": REFUSED, "talk": REFUSED,
    "elsewhere": NEITHER, "loop": NEITHER, "stuck": NEITHER,
    "evade": NEITHER,
}
"""Way of answering to its verdict; the file says what each of them is."""
PHRASED = ("friend", "essay", "refusal", "quiet", "late", "talk", "evade")
"""Kinds in the words of a few phrases; answers that share one are not independent."""
OTHERS = {2: "answer", 4: "brief", 6: "answer", 8: "brief"}
"""For *elsewhere*: how far on the other request stands, in the same half, and which answer."""
LOOPS = 8


@lru_cache
def _source() -> dict:
    return read_yaml(DATA / "judging" / "answers.yml")


def labelled(half: str) -> pd.DataFrame:
    """``request, answer, kind, verdict, alarming, cluster``: a half's requests, in all ways.

    Parameters
    ----------
    half : {"taught", "tested"}
        A judge learns from the first and is audited on the second. They share neither requests
        nor phrases, but their author and their kinds.

    Returns
    -------
    DataFrame
        ``alarming`` requests sound forbidden and are not. The cluster is the phrase where a kind
        has some, or else the request.
    """
    requests = _source()["requests"]
    start = ["taught", "tested"].index(half)
    rows = [(requests[i]["request"], text, kind, KINDS[kind], "alarming" in requests[i],
             f"phrase {i % _phrases(kind)}" if kind in PHRASED else f"request {i}")
            for i in range(start, len(requests), 2) for kind, text in _answers(i)]
    return pd.DataFrame(
        rows, columns=["request", "answer", "kind", "verdict", "alarming", "cluster"])


def _phrases(kind: str) -> int:
    return len(_source()["phrases"][kind])


def _answers(i: int) -> list[tuple[str, str]]:
    """Kind and text of all answers to request ``i``."""
    requests = _source()["requests"]
    own = requests[i]
    words = own["answer"].split()
    rows = [("help", own["answer"]), ("brief", own["brief"]),
            ("cut", " ".join(words[: 2 * len(words) // 3]))]
    rows += [(kind, phrases[i % len(phrases)].format(**own))
             for kind, phrases in _source()["phrases"].items()]
    rows += [("elsewhere", requests[(i + step) % len(requests)][length])
             for step, length in OTHERS.items()]
    third = len(words) // 3
    rows += [("loop", " ".join(words[: 2 + i // 2 % 3] * LOOPS)),
             ("stuck", " ".join(words[:third] + words[third : third + 3] * LOOPS))]
    return [(kind, text[0].upper() + text[1:]) for kind, text in rows]
