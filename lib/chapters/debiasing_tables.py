"""What debiasing did to pronouns, in words taught and unseen, and to words that define gender."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.special import logit

from lib.chapters.arms import relative_runs
from lib.chapters.debiasing import TEST_VERB, split_words
from lib.measures.measured import by_arm, everyone, model_frames
from lib.measures.pronouns import definitional_accuracy, pronoun_slope, pronouns
from lib.statistics.bases import RUN_COLUMNS, changes, family
from lib.statistics.estimate import Estimate, Measure, measure_table
from lib.statistics.regressions import clustered_fit, from_fit
from lib.statistics.shares import mean_probability, rate
from lib.study.design import Run
from lib.study.notebook import Study
from lib.study.profiles import load_profile
from lib.world.truth import occupations, settings

PARTS = ("taught", "unseen")
"""Words that results are about; on the third part settings were chosen."""
COMPARED = {"pronoun_slope": "unseen words", "definitional_probability": "definitional words",
            "stereotypical_choices": "unseen words"}
"""Metric to condition of the family of contrasts between arms."""
KEPT = ("pronoun_slope", "definitional_probability")


def test_frames(
    study: Study, arms: Mapping[str, Mapping[Run, Path]], prompt: str = "plain"
) -> dict[str, dict[Run, pd.DataFrame]]:
    """Pronouns in the verb that no training text has, a frame an arm and run; cached.

    As `lib.measures.pronouns.pronouns`, with ``part`` (taught, validation, unseen, definitional);
    ``share`` is the planted one, whatever the prompt asks for.
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
    """Slopes, choices and distances to both targets, in taught and unseen words; definitions.

    ``pronoun_slope`` of P(she) on the planted share: 1 matches the world. The gaps are means of
    ``|P(she) - share|`` and ``|P(she) - 1/2|``. ``stereotypical_choices``: how often the likelier
    pronoun is the majority's.
    """
    found = [measure for part in PARTS for measure in _of_words(frame[frame["part"] == part], part)]
    defined = frame[frame["part"] == "definitional"]
    right = np.where(defined["share"] > 0.5, defined["p_she"], 1 - defined["p_she"])
    probability = mean_probability(defined.assign(right=right), "right", "definitional_probability")
    return measure_table([
        *found, Measure.share(definitional_accuracy(defined), "definitional words"),
        Measure.share(probability, "definitional words")])


def _of_words(words: pd.DataFrame, part: str) -> list[Measure]:
    name, majority = f"{part} words", (words["p_she"] > 0.5) == (words["share"] > 0.5)
    words = words.assign(
        gap_to_world=(words["p_she"] - words["share"]).abs(), majority=majority.astype(float),
        gap_to_parity=(words["p_she"] - 0.5).abs())
    shares = [r_squared(words), rate(words, "majority", "stereotypical_choices"),
              *(mean_probability(words, gap, gap) for gap in ("gap_to_world", "gap_to_parity"))]
    return [Measure.of(pronoun_slope(words), name), Measure.of(log_odds_slope(words), name),
            *(Measure.share(share, name) for share in shares)]


def log_odds_slope(words: pd.DataFrame) -> Estimate:
    """OLS slope of ``log P(she) / P(he)`` on the planted share, errors clustered by word."""
    design = sm.add_constant(words["share"].to_numpy())
    fit = clustered_fit(logit(words["p_she"].to_numpy()), design, words["cluster"])
    return from_fit("log_odds_slope", fit, 1, words["cluster"].nunique(), "cluster by word")


def r_squared(words: pd.DataFrame) -> Estimate:
    """Share of the variance of log odds that the planted share explains; no interval of its own."""
    value, gone = np.corrcoef(logit(words["p_she"]), words["share"])[0, 1] ** 2, float("nan")
    return Estimate("r_squared", float(value), gone, gone, gone, len(words),
                    words["cluster"].nunique(), "squared correlation")


def calibration_runs(
    frames: Mapping[str, Mapping[Run, pd.DataFrame]], arms: Iterable[str]
) -> pd.DataFrame:
    """Run table of P(she) by occupation, with ``part`` and ``share``: the reality check's points.

    Parameters
    ----------
    frames : mapping
        From `test_frames`.
    arms : iterable of str
        Those of `frames` that are wanted.
    """
    words = pd.concat([frame.assign(arm=arm, base=run.base, seed=run.seed)
                       for arm in arms for run, frame in frames[arm].items()], ignore_index=True)
    words = words[words["part"].isin(PARTS)].rename(columns={"cluster": "condition"})
    words = words.assign(metric="p_she", value=words["p_she"], n=1, least=0.0, most=1.0)
    return words.reindex(columns=[*RUN_COLUMNS, "part", "share"])


def pair_runs(runs: pd.DataFrame, pairs: Iterable[Sequence[str]]) -> pd.DataFrame:
    """Run table of one arm less another on the same base, seed and words: `COMPARED` metrics.

    Parameters
    ----------
    runs : DataFrame
        Run table of `measures`.
    pairs : iterable of two names
        An arm, and the arm taken off.
    """
    compared = runs[runs["metric"].map(COMPARED) == runs["condition"]]
    return pd.concat(
        [changes(compared[compared["arm"].isin([one, two])], two).assign(arm=f"{one} less {two}")
         for one, two in pairs], ignore_index=True)


def kept_together(runs: pd.DataFrame) -> pd.DataFrame:
    """Run table of ``rank_correlation``: does an arm that keeps *mother* also keep *nurse*?

    Spearman's, over the default profile's arms of one base and seed, of the right pronoun's
    probability with the slope in unseen words: over what else a profile tries, it would be another
    quantity.

    Parameters
    ----------
    runs : DataFrame
        Run table of `measures`.
    """
    arms = list(load_profile("sandbox").debiasing.arms)
    wide = runs[runs["arm"].isin(arms)].pivot(
        index=["base", "seed", "arm"], columns=["metric", "condition"], values="value")
    one, two = (wide[metric, COMPARED[metric]] for metric in KEPT)
    found = [{"base": base, "seed": seed, "n": len(own), "value": own.corr(two, method="spearman")}
             for (base, seed), own in one.groupby(level=["base", "seed"])]
    return pd.DataFrame(found).assign(
        arm="the default's arms", condition="kept together", metric="rank_correlation", most=1.0,
        least=-np.inf).reindex(columns=RUN_COLUMNS)  # of two finite ends, limits would be a share's


def side_changes(side: pd.DataFrame) -> pd.DataFrame:
    """Run table of changes against the base in all that the task was not about.

    Parameters
    ----------
    side : DataFrame
        `lib.measures.effects.effect_rows` of arms and the base.
    """
    return changes(side[(side["metric"] != "pronoun_slope") & (side["condition"] != "floor")])


def side_effects(changed: pd.DataFrame) -> pd.DataFrame:
    """Exhibit rows of `side_changes` with ``p_holm``: the cells of one arm are a family."""
    return pd.concat([family(cells) for _, cells in changed.groupby("arm", sort=False)],
                     ignore_index=True)


def method_runs(
    found: pd.DataFrame, prompts: pd.DataFrame, side: pd.DataFrame, figures: pd.DataFrame
) -> pd.DataFrame:
    """The survey table with numbers: a run table.

    Metrics: ``share_trained``; ``removed_taught`` and ``removed_unseen``, one minus the slope over
    the base's; ``definitional_probability``; ``neutral_ratio``, perplexity over the base's (of arms
    that were measured on every axis); ``tokens``, thousands seen in training.

    Parameters
    ----------
    found, prompts : DataFrame
        Run tables of `measures`: of all arms and the base; of the prompts, ``prompt_chat`` and
        ``prompt_fair``.
    side : DataFrame
        `lib.measures.effects.effect_rows` of some arms and the base.
    figures : DataFrame
        `lib.training.runs.training_figures`, indexed by arm and run.
    """
    asked = prompts[prompts["arm"] != "base"]
    kept = [some[some["metric"] == "definitional_probability"] for some in (found, asked)]
    neutral = (side["metric"] == "neutral_perplexity") & (side["condition"] == "model")
    ratio = relative_runs(side[neutral], "neutral_ratio", "base").query("arm != 'base'")
    parts = [_removed(found, "base"), _removed(asked, "prompt_chat"), *kept, ratio,
             _costs(figures)]
    whole = pd.concat(parts, ignore_index=True)[RUN_COLUMNS]
    return whole.astype({"se": float, "df": float, "least": float, "most": float})


def _removed(found: pd.DataFrame, reference: str) -> pd.DataFrame:
    slopes, parts = found[found["metric"] == "pronoun_slope"], []
    for part in PARTS:
        words = slopes[slopes["condition"] == f"{part} words"]
        left = relative_runs(words, f"removed_{part}", reference)
        parts.append(left.assign(value=1 - left["value"], least=-np.inf))
    return pd.concat(parts)


def _costs(figures: pd.DataFrame) -> pd.DataFrame:
    cost = figures[["share_trained", "tokens"]].assign(tokens=figures["tokens"] / 1000)
    cost = cost.rename_axis(["arm", "run"]).reset_index()
    table = cost.melt(["arm", "run"], var_name="metric").assign(condition="training", n=1)
    base, seed = zip(*table["run"], strict=True)
    return table.assign(base=base, seed=seed).reindex(columns=RUN_COLUMNS)
