"""What debiasing did to pronouns, in words taught and unseen, and to words that define gender."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import statsmodels.api as sm

from lib.axes.gender.world import pronouns
from lib.axes.measure import Measure, measure_table
from lib.axes.pronouns import definitional_accuracy, pronoun_slope
from lib.axes.seeds import pool_tables
from lib.axes.shares import mean_probability
from lib.debiasing.texts import TEST_VERB, split_words
from lib.estimators import Estimate
from lib.estimators.regressions import from_fit
from lib.measuring import model_frames, regrouped
from lib.models import load
from lib.panels import rows
from lib.sandbox.world import occupations, settings

if TYPE_CHECKING:
    from lib.study import Study

PARTS = ("taught", "unseen")


def test_frame(study: "Study", folder: Path, prompt: str = "plain") -> pd.DataFrame:
    """`test_frames` of a single model."""
    return test_frames(study, {"": [folder]}, prompt)[""][0]


def test_frames(
    study: "Study", arms: Mapping[str, Iterable[Path]], prompt: str = "plain"
) -> dict[str, list[pd.DataFrame]]:
    """Pronouns in the verb that no training text has; cached in the run's store.

    Parameters
    ----------
    arms : mapping
        Arm to its model folders.

    Returns
    -------
    dict
        Arm to a frame for each model: as `lib.axes.gender.world.pronouns`, with ``part`` (taught,
        unseen, or definitional); ``share`` is the planted one, whatever the prompt asks for.
    """
    def measure(folders: list[Path]) -> list[pd.DataFrame]:
        frames = model_frames(study, "pronouns", folders, _pronouns, [prompt],
                              inputs={"prompt": prompt}, code=[__name__])
        return [_tested(frame) for frame in frames]

    return regrouped(arms, measure)


def _pronouns(folder: Path, prompt: str) -> pd.DataFrame:
    return pronouns(load(folder), prompt)


def _tested(frame: pd.DataFrame) -> pd.DataFrame:
    verb = settings("text")["slots"]["said"].index(TEST_VERB)
    frame = frame[frame["item"].str.endswith(f":{verb}")]
    planted = frame["cluster"].map(occupations()).fillna(frame["share"])
    part = frame["cluster"].map(split_words()).fillna("definitional")
    return frame.assign(share=planted, part=part).reset_index(drop=True)


def measures(frame: pd.DataFrame) -> list[Measure]:
    """Slopes and distances to both targets, in taught and unseen words; definitional words.

    Metrics
    -------
    pronoun_slope : of P(she) on the planted share; 1 matches the world, 0 removes the association.
    log_odds_slope, r_squared : of ``log P(she) / P(he)`` on the share.
    gap_to_world, gap_to_parity : mean ``|P(she) - share|`` and ``|P(she) - 1/2|``.
    definitional_accuracy, definitional_probability : right pronoun likelier; its probability.
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
    return [*found, Measure.share(definitional_accuracy(defined), "definitional words"),
            Measure.share(probability, "definitional words")]


def _gaps(words: pd.DataFrame) -> dict[str, pd.Series]:
    return {"gap_to_world": (words["p_she"] - words["share"]).abs(),
            "gap_to_parity": (words["p_she"] - 0.5).abs()}


def log_odds_slope(words: pd.DataFrame) -> Estimate:
    """OLS slope of ``log P(she) / P(he)`` on the planted share, errors clustered by word."""
    fit = _log_odds_fit(words)
    return from_fit("log_odds_slope", fit, 1, words["cluster"].nunique(), "cluster by word")


def r_squared(words: pd.DataFrame) -> Estimate:
    """Share of the variance of log odds that the planted share explains; no interval."""
    value, gone = float(_log_odds_fit(words).rsquared), float("nan")
    return Estimate("r_squared", value, gone, gone, gone, len(words), words["cluster"].nunique(),
                    "OLS")


def _log_odds_fit(words: pd.DataFrame):  # noqa: ANN202 - a statsmodels result
    odds = np.log(words["p_she"]) - np.log1p(-words["p_she"])
    groups = pd.factorize(words["cluster"])[0]
    return sm.OLS(odds.to_numpy(), sm.add_constant(words["share"].to_numpy())).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )


def arm_rows(frames: Sequence[pd.DataFrame], arm: str) -> pd.DataFrame:
    """Exhibit rows of one arm: `measures` of every training seed, pooled."""
    return rows(pool_tables([measure_table(measures(f)) for f in frames]), arm, len(frames))


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
