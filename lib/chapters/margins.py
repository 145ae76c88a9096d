"""Protection against the margin of refusals: what an attack must overcome, and what helps then."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lib.chapters.arms import train_arms
from lib.chapters.attacks import UNSEEN, answer_rows, answers
from lib.chapters.base import margins
from lib.chapters.defences import Settings, defence_task
from lib.chapters.safety_tables import probe_rows
from lib.measures.measured import by_arm, everyone, run_table
from lib.study.design import untrained
from lib.study.notebook import Study
from lib.training.runs import model_folder
from lib.world.variants import VARIANTS, aligned_variants

AS_IT_IS = "base"
"""The base's own refusals among the kinds."""


def refusal_kinds(study: Study, bases: Mapping[int, Path]) -> dict[str, dict[int, Path]]:
    """Folders by kind of refusal and number of a base; trained when missing."""
    return {AS_IT_IS: dict(bases)} | {kind: aligned_variants(study, bases, kind)
                                      for kind in VARIANTS}


def before_rows(study: Study, kinds: Mapping[str, Mapping[int, Path]]) -> pd.DataFrame:
    """Run table of each kind, as an arm, before any attack: ``refusal_margin`` and `answer_rows`.

    Besides, the probes that begin a recipe: does a refusal come back?
    """
    arms = {kind: untrained(folders) for kind, folders in kinds.items()}
    odds = run_table(by_arm(arms, answers(study, everyone(arms))), margins)
    odds = odds[odds["condition"].isin(UNSEEN)]
    probed = probe_rows(study, arms)
    prefilled = probed[probed["condition"].str.startswith("prefill")
                       & (probed["metric"] == "harmful_compliance")]
    return pd.concat([odds, answer_rows(study, arms), prefilled], ignore_index=True)


def attacked_rows(
    study: Study, kinds: Mapping[str, Mapping[int, Path]], settings: Settings,
    before: pd.DataFrame,
) -> pd.DataFrame:
    """Run table of `answer_rows` after the explicit attack on each ``kind``, by arm.

    The arm ``base`` is the kind before the attack. Column ``margin`` is what it had, mean over
    bases, from `before_rows`.
    """
    task, parts = defence_task(study, "explicit"), []
    for kind, folders in kinds.items():
        trained = train_arms(study, folders, task, settings)
        models = {arm: {run: model_folder(f) for run, f in several.items()}
                  for arm, several in trained.items()}
        found = answer_rows(study, {"base": untrained(folders), **models})
        had = before[(before["arm"] == kind) & (before["metric"] == "refusal_margin")]
        parts.append(found.assign(kind=kind, margin=round(had["value"].mean(), 2)))
    return pd.concat(parts, ignore_index=True)
