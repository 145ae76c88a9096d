"""What the scorecard says of methods, beside what a survey's table says of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from lib.chapters.arms import relative_runs
from lib.chapters.combined_cures import CURES
from lib.chapters.debiasing_tables import test_frames
from lib.chapters.interactions import LEFT, left_runs
from lib.chapters.interventions import task_of
from lib.chapters.overreaction import coefficient_runs, panel, panel_answers, prompted
from lib.chapters.scorecard import OWN, above_rational
from lib.measures.measured import run_table
from lib.measures.pronouns import pronoun_slope
from lib.statistics.bases import RUN_COLUMNS, over_bases
from lib.statistics.estimate import Measure, interval_table, measure_table
from lib.statistics.regressions import implied_persistence
from lib.study.design import Run, untrained
from lib.study.notebook import COLUMNS, Study
from lib.training.runs import training_figures
from lib.world.truth import settings

Models = Mapping[str, Mapping[Run, Path]]
"""Arm to run to model folder."""

PROMPT, FULL, LORA, REGULARIZED = METHODS = (
    "prompt engineering", "full retraining", "LoRA", "regularized")
ARTICLE: Mapping[str, tuple[str, str, str]] = MappingProxyType({
    PROMPT: ("none", "low", "very low"), FULL: ("100 %", "high", "high"),
    LORA: ("< 1 %", "high", "medium"), REGULARIZED: ("variable", "high", "low")})
"""The survey's table: parameters that move, effectiveness, risk of side effects."""
RATIONAL = ("rational", "base_rate")
"""Instructions of the forecasting task for prompt engineering: the first that the world has."""


def method_runs(
    study: Study, bases: Mapping[int, Path], scored: pd.DataFrame, models: Models
) -> pd.DataFrame:
    """Run table of both cures' methods: ``share_trained``, and ``removed``, the share of the bias.

    Columns ``method`` and ``cure`` besides. Prompts are those of chapters 02 and 04, whose answers
    are found again: half of each series with an instruction to be rational (or, where there is
    none, the usual value), and "be fair", against the same request without it.

    Parameters
    ----------
    scored : DataFrame
        From `lib.chapters.scorecard.scores`.
    models : mapping
        From `lib.chapters.interventions.interventions`.
    """
    left = left_runs(scored)
    asked = {"extrapolation": _told_rational(study, bases), "gender": _told_fair(study, bases)}
    parts = []
    for cure in CURES:
        own = LEFT[OWN[cure][0]]
        arms = [arm for arm in models if arm.startswith(f"{cure}: ")]
        rows = pd.concat([left[left["arm"].isin(arms) & (left["metric"] == own)], asked[cure]])
        removed = rows.assign(metric="removed", value=1 - rows["value"])
        moved = [_moved(arm, models[arm]) for arm in arms] + [asked[cure].assign(
            metric="share_trained", value=0.0, least=0.0, most=1.0)]
        parts.append(pd.concat([removed, *moved]).assign(cure=cure))
    found = pd.concat(parts, ignore_index=True)
    found["method"] = [_method(study, *pair) for pair in zip(
        found["cure"], found["arm"].str.partition(": ")[2], strict=True)]
    return found[[*RUN_COLUMNS, "method", "cure"]]


def _method(study: Study, cure: str, arm: str) -> str:
    arms = task_of(study, cure).arms
    if arm not in arms:
        return PROMPT
    if arms[arm].regularizer != "none":
        return REGULARIZED
    return FULL if arms[arm].method == "full" else LORA


def _moved(arm: str, folders: Mapping[Run, Path]) -> pd.DataFrame:
    """Share of the parameters that training moved, a row a run."""
    figures = training_figures({run: folder.parent for run, folder in folders.items()})
    rows = [{"arm": arm, "condition": "all", "metric": "share_trained", "base": run.base,
             "seed": run.seed, "value": share, "n": 1, "least": 0.0, "most": 1.0}
            for run, share in zip(folders, figures["share_trained"], strict=True)]
    return pd.DataFrame(rows).reindex(columns=RUN_COLUMNS).astype({"se": float, "df": float})


def _told_rational(study: Study, bases: Mapping[int, Path]) -> pd.DataFrame:
    """What is left of the excess where a base is told to be rational: as ``excess_left``."""
    items, models = panel(study), untrained(bases)
    few = items.groupby("series").head(max(1, study.profile.forecasting.rounds // 2))
    name = next(name for name in RATIONAL if name in settings("forecasts")["prompts"])
    arm, plain = f"prompt_{name}", panel_answers(study, {"base": models})["base"]
    told = prompted(study, models, few, {arm: name})
    asked = {"base": {run: frame.loc[few.index] for run, frame in plain.items()}, **told}
    excess = above_rational(coefficient_runs(asked, implied_persistence))
    means = excess.groupby(["arm", "base", "seed"], sort=False).agg(
        {"value": "mean", "n": "sum"}).reset_index()
    return _left_of(means, "base", arm, "extrapolation")


def _told_fair(study: Study, bases: Mapping[int, Path]) -> pd.DataFrame:
    """What is left of the slope where a base is told to be fair: as ``slope_left``."""
    models = untrained(bases)
    frames = {arm: test_frames(study, {arm: models}, arm.removeprefix("prompt_"))[arm]
              for arm in ("prompt_chat", "prompt_fair")}
    slopes = run_table(frames, lambda frame: measure_table(
        [Measure.of(pronoun_slope(frame), "all")]))
    return _left_of(slopes.assign(value=slopes["value"].abs()), "prompt_chat", "prompt_fair",
                    "gender")


def _left_of(rows: pd.DataFrame, before: str, arm: str, cure: str) -> pd.DataFrame:
    found = relative_runs(rows, LEFT[OWN[cure][0]], before).assign(condition="all", least=-np.inf)
    return found[found["arm"] == arm].assign(arm=f"{cure}: {arm}")[RUN_COLUMNS]


def method_rows(measured: pd.DataFrame, card: pd.DataFrame) -> pd.DataFrame:
    """Exhibit rows of `method_runs`, and of side effects: by arm, with ``method`` and ``cure``.

    ``worse_axes``: how many axes but its own got worse, by the card's verdict. ``worst_harm``: the
    largest harm on one of them, in spreads of the base models, whatever the verdict. Neither of a
    prompt: it is not asked on other axes.

    Parameters
    ----------
    measured : DataFrame
        From `method_runs`.
    card : DataFrame
        From `lib.chapters.scorecard.card`.
    """
    told = measured[["arm", "method", "cure"]].drop_duplicates()
    risks = pd.concat([_harms(card, arm) for arm in told["arm"] if arm in set(card["arm"])])
    found = pd.concat([over_bases(measured), risks.merge(told, on="arm")], ignore_index=True)
    return found[[*COLUMNS, "method", "cure"]]


def _harms(card: pd.DataFrame, arm: str) -> pd.DataFrame:
    """``worse_axes`` and ``worst_harm`` of one arm, on all axes that it is not about."""
    others = card[(card["arm"] == arm) & ~card["own"]]
    row = others.head(1)[["arm", "condition", "n", "bases", "runs"]].assign(low=np.nan, high=np.nan)
    worst = others["harm"].max()
    return pd.concat([row.assign(metric="worse_axes", value=float((
        others["verdict"] == "worse").sum())), row.assign(
        metric="worst_harm", value=max(worst, 0.0) if worst == worst else worst)])


def method_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The survey's four rows to read, beside what was measured here; several arms share a cell.

    Parameters
    ----------
    rows : DataFrame
        From `method_rows`.
    """
    table = pd.DataFrame.from_dict(ARTICLE, orient="index", columns=[
        "article: parameters", "article: effectiveness", "article: risk"])
    moved, removed, risk = (rows[rows["metric"].isin(names)] for names in (
        ["share_trained"], ["removed"], ["worse_axes", "worst_harm"]))
    table["parameters moved"] = _by_method(moved, _per_cent)
    for cure in CURES:
        table[f"{cure}: share removed"] = _by_method(removed[removed["cure"] == cure], _intervals)
        table[f"{cure}: risk"] = _by_method(risk[risk["cure"] == cure], _risk)
        table.loc[PROMPT, f"{cure}: risk"] = "not asked"
    return table


def _by_method(rows: pd.DataFrame, tell: Callable[[pd.DataFrame], str]) -> list[str]:
    known = dict(list(rows.groupby("method")))
    return [tell(known[name]) if name in known else "not measured" for name in METHODS]


def _per_cent(rows: pd.DataFrame) -> str:
    return "; ".join(dict.fromkeys(f"{100 * value:.3g} %" for value in rows["value"]))


def _intervals(rows: pd.DataFrame) -> str:
    return "; ".join(interval_table(rows).to_numpy().ravel())


def _risk(rows: pd.DataFrame) -> str:
    wide = rows.pivot(index="arm", columns="metric", values="value").loc[rows["arm"].unique()]
    return "; ".join(f"axes worse: {one.worse_axes:.0f}, worst: "
                     f"{round(one.worst_harm, 1 if one.worst_harm < 10 else None)} spreads"
                     for one in wide.itertuples())
