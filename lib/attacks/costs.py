"""Tables about defences: relative losses, where a strength ended, and what a step costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lib.arms import training_figures
from lib.attacks.defences import defence_task
from lib.estimators import over_seeds
from lib.interventions import Task
from lib.interventions.penalties import penalty
from lib.panels import row

if TYPE_CHECKING:
    from lib.study import Study

Models = Mapping[str, Mapping[str, Mapping[int, Path]]]
"""Attack, arm, training seed to model folder: from `lib.attacks.defences.defended`."""


def relative_loss(found: pd.DataFrame, kind: str, plain: str = "full") -> pd.DataFrame:
    """Task losses of one attack relative to that of a plain arm, metric ``loss_ratio``."""
    losses = found[(found["attack"] == kind) & (found["metric"] == "task_loss")]
    whole = losses.loc[losses["arm"] == plain, "value"].iloc[0]
    scaled = {end: losses[end] / whole for end in ("value", "low", "high")}
    return losses.assign(metric="loss_ratio", **scaled)


def strength_rows(models: Models, arms: Sequence[str] = ("full_kl", "full_adaptive",
                                                          "lora_adaptive")) -> pd.DataFrame:
    """Drift on anchors and strength of the penalty after training, by attack; t over seeds."""
    parts = []
    for kind, by_arm in models.items():
        for arm in arms:
            figures = training_figures({s: f.parent for s, f in by_arm[arm].items()})
            parts += [row(over_seeds(name, figures[name], len(figures)), arm, kind, len(figures))
                      for name in ("drift", "strength")]
    return pd.concat(parts, ignore_index=True)


def cost_rows(study: "Study", models: Models, kind: str) -> pd.DataFrame:
    """Work of training by arm: thousands of tokens of the task, and of anchors beside it.

    ``share_trained`` is the share of parameters that move.
    """
    task, parts = defence_task(study, kind), []
    for arm, folders in models[kind].items():
        figures = training_figures({s: f.parent for s, f in folders.items()})
        beside = _anchor_tokens(task, task.arms[arm].regularizer, study.seed)
        values = {"task_tokens": figures["tokens"].mean() / 1000,
                  "anchor_tokens": beside * task.steps / 1000,
                  "share_trained": figures["share_trained"].mean()}
        parts.append(pd.DataFrame({"arm": arm, "condition": "training", "metric": list(values),
                                   "value": list(values.values()), "low": None, "high": None,
                                   "n": len(figures), "seeds": len(figures)}))
    return pd.concat(parts, ignore_index=True)


def _anchor_tokens(task: Task, regularizer: str, seed: int) -> float:
    """Tokens of anchors that a step reads, on average."""
    made = penalty(task, regularizer, seed, 1.0)
    if not hasattr(made, "per_step"):
        return 0.0
    return made.per_step * sum(map(len, made.anchors)) / len(made.anchors)
