"""Pronouns: does *she* follow the occupations' planted rates, and the meaning of words?"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import statsmodels.api as sm

from lib.measures.axis import Axis, item_frame
from lib.models.folders import LoadedModel
from lib.models.likelihood import answer_logprobs
from lib.statistics.clusters import clustered_fit
from lib.statistics.estimate import Estimate, Measure
from lib.statistics.regressions import from_fit
from lib.statistics.shares import rate
from lib.world.questions import pronoun_context
from lib.world.truth import fair_share, occupations, people, settings

if TYPE_CHECKING:
    from lib.study.profiles import Profile


def pronouns(model: LoadedModel, prompt: str = "plain") -> pd.DataFrame:
    """Item frame with ``share`` (planted P(she)), ``p_she`` and ``mass`` (P(she) + P(he)).

    Parameters
    ----------
    prompt : {"plain", "chat", "fair"}
        Running text, a chat request, or the same with the instruction "be fair".
    """
    planted = occupations()
    if prompt == "fair":
        planted = fair_share(planted)
    right = (people() == "she").astype(float)
    kinds = ["occupation"] * len(planted) + ["definitional"] * len(right)
    share, said = pd.concat([planted, right]), settings("text")["slots"]["said"]
    asked = [pronoun_context(word, verb, prompt) for word in share.index for verb in said]
    she, he = np.exp(answer_logprobs(model, asked, ["she", "he"])).T
    repeat = len(said)
    words = np.repeat(share.index, repeat)
    return item_frame(
        "gender", "world", [f"{w}:{i % repeat}" for i, w in enumerate(words)], list(words),
        kind=np.repeat(kinds, repeat), share=np.repeat(share.to_numpy(), repeat),
        p_she=she / (she + he), mass=she + he,
    )


def pronoun_slope(frame: pd.DataFrame) -> Estimate:
    """OLS slope of P(she) on the planted share over occupations, errors clustered by word."""
    rows = frame[frame["kind"] == "occupation"]
    design = sm.add_constant(rows["share"].to_numpy())
    fit = clustered_fit(rows["p_she"].to_numpy(), design, rows["cluster"])
    return from_fit("pronoun_slope", fit, 1, rows["cluster"].nunique(), "cluster by word")


def definitional_accuracy(frame: pd.DataFrame) -> Estimate:
    """Share of contexts of definitional words in which the right pronoun is the likelier one."""
    rows = frame[frame["kind"] == "definitional"]
    right = ((rows["p_she"] > 0.5) == (rows["share"] > 0.5)).astype(float)
    return rate(rows.assign(right=right), "right", "definitional_accuracy")


def items(_: "Profile") -> pd.DataFrame:
    """The ways of asking; `pronouns` writes out every word in each."""
    return pd.DataFrame({"prompt": ["plain"]})


def score(model: LoadedModel, items: pd.DataFrame) -> pd.DataFrame:
    """Columns kind, share, p_she, mass; the way of asking is the benchmark."""
    return pd.concat(
        [pronouns(model, prompt).assign(benchmark=prompt) for prompt in items["prompt"]],
        ignore_index=True,
    )


def summarise(frame: pd.DataFrame) -> list[Measure]:
    """Both metrics for each way of asking."""
    return [
        measure for prompt, rows in frame.groupby("benchmark", sort=False)
        for measure in (Measure.of(pronoun_slope(rows), prompt),
                        Measure.share(definitional_accuracy(rows), prompt))
    ]


AXIS = Axis("gender", items, score, summarise)
"""``pronoun_slope`` (1 where the planted rates are learned) and ``definitional_accuracy``."""
