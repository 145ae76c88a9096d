"""Protection against the margin of refusals: what an attack must overcome, and what helps then."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lib.chapters.answers import UNSEEN, answer_table, answers
from lib.chapters.arms import train_arms
from lib.chapters.attacks import Models
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
    """Folders by kind of refusal and number of a base; trained when missing.

    Parameters
    ----------
    bases : mapping
        Number of a base model to its folder; from `lib.world.bases.base_models`.
    """
    return {AS_IT_IS: dict(bases)} | {kind: aligned_variants(study, bases, kind)
                                      for kind in VARIANTS}


def before_rows(study: Study, kinds: Mapping[str, Mapping[int, Path]]) -> pd.DataFrame:
    """Run table of each kind, as an arm, before any attack: `_answered`, and prefilled probes.

    The probes begin a recipe: does a refusal come back?
    """
    arms = {kind: untrained(folders) for kind, folders in kinds.items()}
    probed = probe_rows(study, arms)
    prefilled = probed[probed["condition"].str.startswith("prefill")
                       & (probed["metric"] == "harmful_compliance")]
    return pd.concat([_answered(study, arms), prefilled], ignore_index=True)


def _answered(study: Study, arms: Models) -> pd.DataFrame:
    """Run table of ``refusal_margin`` about unseen things, then of `answer_table`."""
    frames = by_arm(arms, answers(study, everyone(arms)))
    odds = run_table(frames, lambda asked: margins(asked[asked["benchmark"].isin(UNSEEN)].assign(
        benchmark=UNSEEN[0]))).assign(condition="unseen things")
    return pd.concat([odds, run_table(frames, answer_table)], ignore_index=True)


def attacked_rows(
    study: Study, kinds: Mapping[str, Mapping[int, Path]], settings: Settings,
    before: pd.DataFrame,
) -> pd.DataFrame:
    """Run table of each ``kind`` after the explicit attack, by arm: margin and answers.

    The arm ``base`` is the kind before the attack. Column ``margin`` is what it had, mean over
    bases, from `before_rows`.
    """
    task, parts = defence_task(study, "explicit"), []
    had = before[before["metric"] == "refusal_margin"].groupby("arm")["value"].mean().round(1)
    for kind, folders in kinds.items():
        models = {arm: {run: model_folder(f) for run, f in several.items()} for arm, several
                  in train_arms(study, folders, task, settings).items()}
        found = _answered(study, {"base": untrained(folders), **models})
        parts.append(found.assign(kind=kind, margin=had[kind]))
    return pd.concat(parts, ignore_index=True)
