"""Tables over arms: pairs on identical items, the survey table with numbers, published figures."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from lib.axes.gender.paired import McNemar, compare_choices
from lib.debiasing.report import PARTS
from lib.published import published
from lib.study import COLUMNS


def pair_rows(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Every pair of arms on identical items: change in the share of stereotypical choices.

    A choice is stereotypical where the likelier pronoun is that of the majority. Columns as any
    exhibit (``arm`` is the second of the pair, ``condition`` the first), then ``discordance``,
    ``p_exact`` (McNemar) and ``p_holm`` over all pairs. Intervals: `paired_interval`.
    """
    choices = {arm: _stereotypical(frame) for arm, frame in frames.items()}
    parts = []
    for first, second in combinations(choices, 2):
        test = compare_choices(choices[first], choices[second])
        low, high = paired_interval(test)
        parts.append({"arm": second, "condition": first, "metric": "stereotypical_change",
                      "value": test.difference, "low": low, "high": high, "n": test.n, "seeds": 1,
                      "discordance": test.discordance, "p_exact": test.pvalue})
    table = pd.DataFrame(parts)
    return table.assign(p_holm=multipletests(table["p_exact"], method="holm")[1])


def _stereotypical(frame: pd.DataFrame) -> pd.Series:
    words = frame[frame["part"] != "definitional"]
    likelier = (words["p_she"] > 0.5) == (words["share"] > 0.5)
    return likelier.astype(float).set_axis(words["item"])


def paired_interval(test: McNemar) -> tuple[float, float]:
    """95 % interval of a difference of paired shares (Wald with Agresti and Min's half counts)."""
    n, one, two = test.n + 2, test.before + 0.5, test.after + 0.5
    middle = (two - one) / n
    reach = 1.96 * np.sqrt((one + two) - (two - one) ** 2 / n) / n
    return float(max(-1, middle - reach)), float(min(1, middle + reach))


def method_rows(
    found: pd.DataFrame, prompts: pd.DataFrame, side: pd.DataFrame, figures: pd.DataFrame
) -> pd.DataFrame:
    """The survey table with numbers: one row an arm and metric.

    Metrics: ``share_trained``; ``removed_taught`` and ``removed_unseen``, one minus the slope
    relative to the base's; ``definitional_probability``; ``neutral_ratio``, perplexity relative to
    the base's (only arms that were measured on every axis); ``tokens``, thousands seen in training.

    Parameters
    ----------
    found, prompts : DataFrame
        `arm_rows` of all arms, the base among them; of the prompts, ``prompt_chat`` among them.
    side : DataFrame
        `lib.panels.effect_rows` of some arms and the base.
    figures : DataFrame
        `lib.arms.training_figures`, indexed by arm and seed.
    """
    asked = prompts[prompts["arm"].str.startswith("prompt_")]
    parts = [_removed(found, "base"), _removed(asked, "prompt_chat"),
             _kept(found), _kept(asked), _neutral(side)]
    cost = figures.groupby(level=0, sort=False)[["share_trained", "tokens"]].mean()
    parts += [pd.DataFrame({"arm": cost.index, "condition": "training", "metric": metric,
                            "value": values.to_numpy(), "n": 1, "seeds": 1})
              for metric, values in (("share_trained", cost["share_trained"]),
                                     ("tokens", cost["tokens"] / 1000))]
    return pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)


def _removed(found: pd.DataFrame, reference: str) -> pd.DataFrame:
    slopes = found[found["metric"] == "pronoun_slope"]
    parts = []
    for part in PARTS:
        rows_ = slopes[slopes["condition"] == f"{part} words"]
        whole = rows_.loc[rows_["arm"] == reference, "value"].iloc[0]
        parts.append(rows_.assign(
            metric=f"removed_{part}", value=1 - rows_["value"] / whole,
            low=1 - rows_["high"] / whole, high=1 - rows_["low"] / whole))
    return pd.concat(parts)


def _kept(found: pd.DataFrame) -> pd.DataFrame:
    return found[found["metric"] == "definitional_probability"]


def _neutral(side: pd.DataFrame) -> pd.DataFrame:
    rows_ = side[(side["metric"] == "neutral_perplexity") & (side["condition"] == "model")]
    whole = rows_.loc[rows_["arm"] == "base", "value"].iloc[0]
    scaled = {end: rows_[end] / whole for end in ("value", "low", "high")}
    return rows_.assign(metric="neutral_ratio", **scaled)


def published_rows() -> pd.DataFrame:
    """Published figures on GPT-2 as exhibit rows; ``arm`` is the published one."""
    facts = published("gender")
    reach = 1.96 * facts["se"] / facts["n"].astype("Float64") ** 0.5
    return pd.DataFrame({
        "arm": facts["condition"], "condition": facts["quantity"], "metric": facts["quantity"],
        "value": facts["value"], "low": facts["value"] - reach, "high": facts["value"] + reach,
        "n": facts["n"], "seeds": "", "source": facts["source"], "status": facts["status"],
    })
