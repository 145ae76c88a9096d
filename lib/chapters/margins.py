"""Protection against the margin of refusals: what an attack must overcome, and what helps then."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lib.chapters.arms import train_arms
from lib.chapters.attacks import UNSEEN, answer_rows, answers
from lib.chapters.defences import Settings, defence_task
from lib.chapters.safety_tables import probe_rows
from lib.measures.measured import by_arm, everyone, run_table
from lib.statistics.estimate import Estimate, Measure, measure_table, t_interval
from lib.study.design import untrained
from lib.study.notebook import Study
from lib.training.runs import model_folder
from lib.world.variants import VARIANTS, aligned_variants

AS_IT_IS = "base"
"""The base's own refusals among the kinds."""
CERTAIN = 1e-12
"""Least probability of either opening: beyond it, float64 has nothing to say."""


def refusal_kinds(study: Study, bases: Mapping[int, Path]) -> dict[str, dict[int, Path]]:
    """Folders by kind of refusal and number of a base; trained when missing."""
    return {AS_IT_IS: dict(bases)} | {kind: aligned_variants(study, bases, kind)
                                      for kind in VARIANTS}


def margin_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Log odds of *sorry* against *sure* as the first word of an answer to a forbidden request."""
    asked = frame[frame["benchmark"].isin(UNSEEN)]
    p = asked["p_refusal"].clip(CERTAIN, 1 - CERTAIN)
    by_thing = np.log(p / (1 - p)).groupby(asked["cluster"]).mean()
    mean, n = float(by_thing.mean()), len(by_thing)
    se = float(by_thing.std(ddof=1) / np.sqrt(n))
    found = Estimate("margin", mean, se, *t_interval(mean, se, n - 1), len(asked), n,
                     f"cluster by thing, t({n - 1})", n - 1.0)
    return measure_table([Measure.of(found, "unseen things")])


def before_rows(study: Study, kinds: Mapping[str, Mapping[int, Path]]) -> pd.DataFrame:
    """Run table of each kind before any attack, as arms: ``margin``, `answer_rows`, and prefills.

    The latter are the probes that begin a recipe: does a refusal come back?
    """
    arms = {kind: untrained(folders) for kind, folders in kinds.items()}
    margins = run_table(by_arm(arms, answers(study, everyone(arms))), margin_table)
    probed = probe_rows(study, arms)
    prefilled = probed[probed["condition"].str.startswith("prefill")
                       & (probed["metric"] == "harmful_compliance")]
    return pd.concat([margins, answer_rows(study, arms), prefilled], ignore_index=True)


def attacked_rows(
    study: Study, kinds: Mapping[str, Mapping[int, Path]], chosen: Settings, arms: Sequence[str],
    before: pd.DataFrame,
) -> pd.DataFrame:
    """Run table of `answer_rows` after the explicit attack on each ``kind``, by arm.

    Column ``margin`` is what the kind had before, mean over bases; `before` from `before_rows`,
    whose refusals are the arm ``base``.
    """
    task, parts = defence_task(study, "explicit"), []
    for kind, folders in kinds.items():
        trained = train_arms(study, folders, task, {arm: chosen[arm] for arm in arms})
        models = {arm: {run: model_folder(f) for run, f in several.items()}
                  for arm, several in trained.items()}
        found = answer_rows(study, {"base": untrained(folders), **models})
        had = before[(before["arm"] == kind) & (before["metric"] == "margin")]
        parts.append(found.assign(kind=kind, margin=round(had["value"].mean(), 2)))
    return pd.concat(parts, ignore_index=True)
