"""Rows of the correction's exhibits: what is left, what decides the cure, what was published."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lib.arms import MODEL
from lib.correction.labels import validation_examples
from lib.estimators import by_condition, compare, holm, implied_persistence, over_seeds
from lib.forecasting.benchmarks import bayes
from lib.generalisation import mse_ratio
from lib.interventions import task_losses
from lib.measuring import regrouped
from lib.panels import combine, forecasts, forecasts_of, removed_rows, row
from lib.published import published

if TYPE_CHECKING:
    from lib.study import Study


def remaining_rows(
    after: Sequence[pd.DataFrame], rational: pd.DataFrame, arm: str
) -> pd.DataFrame:
    """Implied persistence less that of the rational row, by rho, on identical items.

    Negative is **under-reaction**: the cure went too far. Column ``p_holm`` tests each level
    against zero, corrected for testing all of them.
    """
    parts, estimates = [], []
    for rho, cell in rational.groupby("rho"):
        found = [compare(cell, f[f["rho"] == rho], implied_persistence) for f in after]
        estimates.append(combine(found))
        parts.append(row(estimates[-1], arm, rho, len(after)))
    table = pd.concat(parts, ignore_index=True).assign(p_holm=holm(estimates))
    return table.assign(metric="persistence_gap")


def shape_rows(frames: Mapping[str, Sequence[pd.DataFrame]]) -> pd.DataFrame:
    """Line of implied on true persistence: intercept 0 and slope 1 are a knowing forecaster's.

    A model that only learned to answer the mean has slope 0. The interval is over training seeds
    (t), and empty for one seed: the levels of rho are fixed by the design.
    """
    parts = []
    for arm, several in frames.items():
        lines = np.array([_line(frame) for frame in several])
        for metric, values in zip(("slope_on_rho", "intercept_at_0"), lines.T, strict=True):
            parts.append(row(over_seeds(metric, values, len(several[0])), arm, "all rho",
                             len(several)))
    return pd.concat(parts, ignore_index=True)


def _line(frame: pd.DataFrame) -> tuple[float, float]:
    levels = by_condition(frame, implied_persistence)
    slope, intercept = np.polyfit(levels["rho"], levels["value"], 1)
    return slope, intercept


def error_rows(frames: Mapping[str, Sequence[pd.DataFrame]], best: pd.DataFrame) -> pd.DataFrame:
    """Mean squared forecast error over that of full information on the same items, by arm."""
    parts = [row(over_seeds("mse_ratio", np.array([mse_ratio(f, best).value for f in several]),
                             len(best)), arm, "all rho", len(several))
             for arm, several in frames.items()]
    return pd.concat(parts, ignore_index=True)


def ablation_rows(
    study: "Study",
    base: Path,
    variants: Mapping[tuple[str, str], Mapping[int, Path]],
    items: pd.DataFrame,
) -> pd.DataFrame:
    """Each variant's share of the excess removed on `items`, and its validation loss.

    The condition reads "examples: 100". Shares are pooled over seeds; losses are means.
    """
    before, rational = forecasts(study, base, items), bayes(items)
    questions, parts = validation_examples(study.profile, study.seed), []
    models = {key: [folder / MODEL for folder in several.values()]
              for key, several in variants.items()}
    losses = regrouped(models, lambda folders: task_losses(study, folders, questions))
    for (factor, level), after in forecasts_of(study, models, items).items():
        removed = removed_rows(before, after, rational, "lora")
        loss = row(over_seeds("task_loss", np.array(losses[factor, level]), len(questions)),
                   "lora", "", len(after))
        parts.append(pd.concat([removed, loss]).assign(condition=f"{factor}: {level}"))
    return pd.concat(parts, ignore_index=True)


def published_rows() -> pd.DataFrame:
    """Published coefficients as exhibit rows: people and a large model, before and after tuning.

    Column ``status`` says how sure the figure is; see ``data/published``.
    """
    facts = published("extrapolation")
    wanted = facts[facts["quantity"].isin(["implied_persistence", "error_revision",
                                           "last_month_return_coefficient"])]
    reach = 1.96 * wanted["se"]
    return pd.DataFrame({
        "arm": wanted["subject"], "condition": wanted["condition"], "metric": wanted["quantity"],
        "value": wanted["value"], "low": wanted["value"] - reach, "high": wanted["value"] + reach,
        "n": wanted["n"], "seeds": "", "rho": wanted["rho"], "source": wanted["source"],
        "status": wanted["status"],
    })
