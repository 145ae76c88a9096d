"""Refusals of a real chat model: item frames, rates, and changes between models."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lib.errors import require
from lib.measures.axis import item_frame
from lib.measures.chat.judge import CARRIED_OUT, NEITHER, REFUSED, Judge, opens_as_refusal
from lib.measures.chat.requests import CHUNK, FORBIDDEN, HARMLESS, Hidden, requests
from lib.measures.safety import agreement
from lib.models.batches import chunks
from lib.models.chat import Prompt
from lib.models.folders import LoadedModel
from lib.models.generation import generate_ids, said
from lib.models.template import THINK, THOUGHT
from lib.statistics.bases import holm
from lib.statistics.clusters import clustered_fit
from lib.statistics.estimate import Measure, minimum_detectable
from lib.statistics.regressions import from_fit
from lib.statistics.shares import rate
from lib.study.progress import track

METRICS = {
    "refusal_rate": (FORBIDDEN, {"keyword": "keyword", "judge": "judge"}),
    "harmful_compliance": (FORBIDDEN, {"judge": "complied"}),
    "over_refusal": (HARMLESS, {"keyword": "keyword", "judge": "judge"}),
}
"""Metric to the label it is about, and to conditions with the column of `judged` averaged."""


def replies(model: LoadedModel, asked: pd.DataFrame, tokens: int) -> pd.DataFrame:
    """``answer`` (greedy, `Hidden`), ``run_on`` (met the limit of `tokens`) and ``thought``."""
    chats = [Prompt.chat(hidden.text) for hidden in asked["request"]]
    new: list[list[int]] = []
    with track("answer requests", len(chats)) as progress:
        for part in chunks(len(chats), CHUNK):
            new += generate_ids(model, chats[part], tokens)
            progress.update(part.stop)
    texts = [said(model.tokenizer, ids) for ids in new]
    return pd.DataFrame({"answer": [Hidden(spoken(text)) for text in texts],
                         "run_on": [float(len(ids) == tokens) for ids in new],
                         "thought": [float(spoken(text) != text) for text in texts]})


OPENING = 24
"""Tokens of an answer that tell whether it opens as a refusal."""


def opened(model: LoadedModel, items: pd.DataFrame, most: int) -> pd.DataFrame:
    """Items of XSTest, `most` a category, with ``refused``; neither request nor answer is kept."""
    told = replies(model, requests(most=most), OPENING)
    return items.assign(refused=[float(opens_as_refusal(a.text)) for a in told["answer"]])


def spoken(text: str) -> str:
    """An answer without the thinking before it; nothing is left where the thinking has no end."""
    _, thought, answer = text.rpartition(THOUGHT)
    if thought:
        return answer.lstrip()
    return text if not text.lstrip().startswith(THINK) else ""


def judged(asked: pd.DataFrame, told: pd.DataFrame, judge: Judge, benchmark: str) -> pd.DataFrame:
    """Item frame of `replies`: refused by ``keyword`` and ``judge``; ``complied``, ``coherent``."""
    texts = [hidden.text for hidden in told["answer"]]
    verdicts = pd.Series(judge.verdicts([hidden.text for hidden in asked["request"]], texts))
    return item_frame(
        "chat", benchmark, list(asked["item"]), list(asked["cluster"]),
        label=list(asked["label"]), category=list(asked["category"]),
        keyword=[float(opens_as_refusal(text)) for text in texts],
        judge=(verdicts == REFUSED).astype(float),
        complied=(verdicts == CARRIED_OUT).astype(float),
        coherent=(verdicts != NEITHER).astype(float),
        run_on=list(told["run_on"]), thought=list(told["thought"]),
    )


def summarise(frame: pd.DataFrame) -> list[Measure]:
    """Rates of `METRICS`, coherence, run-ons, and kappa of the keyword and the judge by label."""
    found = []
    for metric, (label, columns) in METRICS.items():
        some = frame[frame["label"] == label]
        found += [Measure.share(rate(some, column, metric), condition)
                  for condition, column in columns.items() if len(some)]
    found.append(Measure.share(rate(frame, "coherent", "coherence"), "judge"))
    found.append(Measure.share(rate(frame, "run_on", "run_on"), "no end"))
    if frame["thought"].any():
        found.append(Measure.share(rate(frame, "thought", "thought"), "cut"))
    for label, some in frame.groupby("label", sort=False):
        kappa = agreement(some["keyword"], some["judge"], "kappa")
        found.append(Measure.of(kappa, f"keyword and judge, {label}", -1.0, 1.0))
    return found


def by_category(frame: pd.DataFrame) -> list[Measure]:
    """Refusals of each category by the judge; the condition is the category."""
    metric = {FORBIDDEN: "refusal_rate", HARMLESS: "over_refusal"}
    return [Measure.share(rate(some, "judge", metric[label]), category)
            for (label, category), some in frame.groupby(["label", "category"], sort=False)]


def change_rows(before: pd.DataFrame, after: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Mean change of each answer's measures from one model to others, paired by request.

    ``arm, metric, condition, value, low, high, n, clusters, changed, detectable, p_holm``. Errors
    are clustered (CR2). Where fewer than about ten clusters ``changed``, the interval is too
    narrow. A single test, before Holm, finds a change that is ``detectable`` four times in five.
    """
    rows = []
    for arm, frame in after.items():
        require(frame["item"].tolist() == before["item"].tolist(), "answers to the same requests",
                f"others of {arm}", "ask again")
        for metric, (label, columns) in METRICS.items():
            some = (before["label"] == label).to_numpy()
            rows += [{"arm": arm, "metric": metric, "condition": condition}
                     | _change(frame[column][some] - before[column][some], before["cluster"][some])
                     for condition, column in columns.items() if some.any()]
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table.pop("p")))


def _change(difference: pd.Series, clusters: pd.Series) -> dict[str, float]:
    """A row of `change_rows` and its p-value."""
    shifts = difference.groupby(clusters).mean()
    found = {"value": float(difference.mean()), "n": len(difference), "clusters": len(shifts),
             "changed": int((difference != 0).groupby(clusters).any().sum())}
    if difference.nunique() == 1 or len(shifts) == 1:
        # No variation gives no error; that all G clusters shift alike has chance 2 / 2^G.
        p = min(1.0, 2.0 ** (1 - len(shifts))) if found["value"] else 1.0
        return found | {"low": np.nan, "high": np.nan, "detectable": np.nan, "p": p}
    fit = clustered_fit(difference.to_numpy(), np.ones((len(difference), 1)), clusters)
    e = Measure.of(from_fit("change", fit, 0, len(shifts), "paired, clustered"), "", -1.0, 1.0)
    return found | {"low": e.low, "high": e.high, "p": e.pvalue(),
                    "detectable": minimum_detectable(e.se, e.df)}
