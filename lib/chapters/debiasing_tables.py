"""What debiasing did to pronouns, in words taught and unseen, and to words that define gender."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm

from lib.chapters.arms import relative_rows
from lib.chapters.debiasing import TEST_VERB, split_words
from lib.measures.measured import by_arm, everyone, model_frames
from lib.measures.pronouns import definitional_accuracy, pronoun_slope, pronouns
from lib.statistics.clusters import clustered_fit
from lib.statistics.comparison import McNemar, compare_choices
from lib.statistics.estimate import Estimate, Measure, measure_table
from lib.statistics.pooling import holm, table_rows
from lib.statistics.regressions import from_fit
from lib.statistics.shares import mean_probability
from lib.study.notebook import COLUMNS, Study
from lib.world.truth import occupations, settings


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
    return table.assign(p_holm=holm(table["p_exact"]))


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

    Metrics: ``share_trained``; ``removed_taught`` and ``removed_unseen``, one minus the slope over
    the base's; ``definitional_probability``; ``neutral_ratio``, perplexity over the base's (of arms
    that were measured on every axis); ``tokens``, thousands seen in training.

    Parameters
    ----------
    found, prompts : DataFrame
        `arm_rows` of all arms, the base among them; of the prompts, ``prompt_chat`` among them.
    side : DataFrame
        `lib.measures.effects.effect_rows` of some arms and the base.
    figures : DataFrame
        `lib.training.runs.training_figures`, indexed by arm and seed.
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
        words = slopes[slopes["condition"] == f"{part} words"]
        left = relative_rows(words, f"removed_{part}", reference)
        parts.append(left.assign(value=1 - left["value"], low=1 - left["high"],
                                 high=1 - left["low"]))
    return pd.concat(parts)


def _kept(found: pd.DataFrame) -> pd.DataFrame:
    return found[found["metric"] == "definitional_probability"]


def _neutral(side: pd.DataFrame) -> pd.DataFrame:
    neutral = (side["metric"] == "neutral_perplexity") & (side["condition"] == "model")
    return relative_rows(side[neutral], "neutral_ratio", "base")


PARTS = ("taught", "unseen")


def test_frame(study: Study, folder: Path, prompt: str = "plain") -> pd.DataFrame:
    """`test_frames` of a single model."""
    return test_frames(study, {"": [folder]}, prompt)[""][0]


def test_frames(
    study: Study, arms: Mapping[str, Iterable[Path]], prompt: str = "plain"
) -> dict[str, list[pd.DataFrame]]:
    """Pronouns in the verb that no training text has, a list of frames an arm; cached.

    As `lib.measures.pronouns.pronouns`, with ``part`` (taught, unseen, definitional); ``share`` is
    the planted one, whatever the prompt asks for.
    """
    frames = model_frames(study, "pronouns", everyone(arms), pronouns, prompt)
    return by_arm(arms, map(_tested, frames))


def _tested(frame: pd.DataFrame) -> pd.DataFrame:
    verb = settings("text")["slots"]["said"].index(TEST_VERB)
    frame = frame[frame["item"].str.endswith(f":{verb}")]
    planted = frame["cluster"].map(occupations()).fillna(frame["share"])
    part = frame["cluster"].map(split_words()).fillna("definitional")
    return frame.assign(share=planted, part=part).reset_index(drop=True)


def measures(frame: pd.DataFrame) -> pd.DataFrame:
    """Slopes and distances to both targets, in taught and unseen words; definitional words.

    ``pronoun_slope`` of P(she) on the planted share: 1 matches the world. The gaps are
    means of ``|P(she) - share|`` and ``|P(she) - 1/2|``.
    """
    found = []
    for part in PARTS:
        words, name = frame[frame["part"] == part], f"{part} words"
        found += [Measure.of(pronoun_slope(words), name),
                  Measure.of(log_odds_slope(words), name),
                  Measure.share(r_squared(words), name)]
        found += [Measure.share(mean_probability(words.assign(gap=gap), "gap", metric), name)
                  for metric, gap in _gaps(words).items()]
    defined = frame[frame["part"] == "definitional"]
    right = np.where(defined["share"] > 0.5, defined["p_she"], 1 - defined["p_she"])
    probability = mean_probability(defined.assign(right=right), "right", "definitional_probability")
    return measure_table([
        *found, Measure.share(definitional_accuracy(defined), "definitional words"),
        Measure.share(probability, "definitional words")])


def _gaps(words: pd.DataFrame) -> dict[str, pd.Series]:
    return {"gap_to_world": (words["p_she"] - words["share"]).abs(),
            "gap_to_parity": (words["p_she"] - 0.5).abs()}


def log_odds_slope(words: pd.DataFrame) -> Estimate:
    """OLS slope of ``log P(she) / P(he)`` on the planted share, errors clustered by word."""
    design = sm.add_constant(words["share"].to_numpy())
    fit = clustered_fit(_log_odds(words).to_numpy(), design, words["cluster"])
    return from_fit("log_odds_slope", fit, 1, words["cluster"].nunique(), "cluster by word")


def r_squared(words: pd.DataFrame) -> Estimate:
    """Share of the variance of log odds that the planted share explains; no interval."""
    value, gone = float(_log_odds(words).corr(words["share"]) ** 2), float("nan")
    return Estimate("r_squared", value, gone, gone, gone, len(words), words["cluster"].nunique(),
                    "OLS")


def _log_odds(words: pd.DataFrame) -> pd.Series:
    return np.log(words["p_she"]) - np.log1p(-words["p_she"])


def arm_rows(frames: Sequence[pd.DataFrame], arm: str) -> pd.DataFrame:
    """Exhibit rows of one arm: `measures` of every training seed, pooled."""
    return table_rows({arm: frames}, measures)


def calibration_rows(frames: Mapping[str, Sequence[pd.DataFrame]]) -> pd.DataFrame:
    """P(she) by occupation and arm, mean over seeds: the points of the reality check."""
    parts = []
    for arm, several in frames.items():
        words = pd.concat(several).query("part != 'definitional'")
        mean = words.groupby(["cluster", "part", "share"], as_index=False)["p_she"].mean()
        parts.append(pd.DataFrame({
            "arm": arm, "condition": mean["cluster"], "metric": "p_she", "value": mean["p_she"],
            "low": None, "high": None, "n": len(several), "seeds": len(several),
            "share": mean["share"], "part": mean["part"],
        }))
    return pd.concat(parts, ignore_index=True)
