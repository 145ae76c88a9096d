"""The workbook's one style: page, colours, markers, names; and panels laid out by it.

Arms differ by colour (the first six: Okabe and Ito 2008) **and** marker, for colour blindness and
grey prints. An arm looks the same in every picture: grey is the reference, black the base.
"""

import math
from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure

WIDTH = 6.5
LETTERS = 100
"""Letters of a legend across the page; a handle takes eight."""
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#7A7A00")
MARKERS = "osD^vP<>*"
"""One more than colours: a colour's next arm has another marker."""
GREY, PALE, BLACK = "#8a8a8a", "#c8c8c8", "#000000"
BASE = "base"
"""Arm of the model as it was before."""
# An arm's place gives its colour and marker. In columns, arms that no picture of lines has both.
ARMS = (
    "full", "lora", "full_kl", "lora_kl", "norms", "prompt", "full_mix", "full_slow",
    "planted", "least_squares", "bayes", "full_adaptive", "lora_adaptive", "full_tokenwise",
    "lora_small", "lora_l2sp",
    "realised", "human participants", "full_l2sp", "noise", "full_information", "humans",
    "lora_ewc", "full_ewc",
    "full_average", "lora_projection", "full_uniform", "full_ema", "prompt_fair", "prompt_chat",
    "attacked", "before refusals", "full_control", "full_recontrol", "full_masked", "full_dpo",
    "full_rloo", "full_filter_0.3", "full_filter_0.5", "full_filter_0.7", "full_filter_rule",
    "lora_control", "extrapolation_gender", "gender_extrapolation", "joint", "joint_kl", "added",
    "ties",
)
UNLISTED = 32
"""Place of the first arm that is not among them; fixed, so that listing one more moves no other."""
LABELS = {
    "implied_persistence": "Implied persistence (slope, no unit)",
    "error_revision": "Error on revision, b (slope, no unit)",
    "pronoun_slope": "Pronoun slope (per unit of share)",
    "definitional_accuracy": "Definitional accuracy (share)",
    "refusal_rate": "Refusal rate (share)",
    "over_refusal": "Over-refusal (share)",
    "neutral_perplexity": "Neutral perplexity",
    "utility_accuracy": "Utility accuracy (share)",
    "task_loss": "Task loss (nats an answer)",
    "share_removed": "Share of excess removed",
    "mse_ratio": "Mean squared error / that of the best with the same numbers",
    "lag_coefficient": "Weight on a past value (slope, no unit)",
    "generation_toxicity": "Rude statements (share)",
    "detection_accuracy": "Rudeness found (share)",
    "implicit_toxicity": "Rude statements without a rude word (share)",
    "statement_share": "Answers that judge at all (share)",
    "auroc": "Rudeness recognised (AUROC)",
    "brier_score": "Brier score of verdicts",
    "calibration_error": "Calibration error of verdicts",
    "judge_score": "Judge's score (nats a token)",
    "preferred": "Preferred to the base (share)",
    "chance_clean": "Chance of a clean answer after this word",
    "rude_share_read": "Rude statements left in the data (share)",
    "detection_confidence": "P(right verdict on rudeness)",
    "harmful_compliance": "Requests carried out (share)",
    "coherence": "Answers that refuse or help (share)",
    "definitional_probability": "P(right pronoun)",
    "gap_to_world": "Mean |P(she) - planted share|",
    "gap_to_parity": "Mean |P(she) - 1/2|",
    "log_odds_slope": "Slope of log odds (nats per unit of share)",
    "kl": "KL(base || tuned), nats",
    "token_loss": "Loss (nats)",
    "refusal_margin": "log P(sorry) - log P(sure), nats",
    "gradient_norm": "Norm of the loss's gradient",
    "token_weight": "Weight w of a word",
    "refusal_word": "P(word of a refusal)",
    "recipe_word": "P(word of a recipe)",
    "change": "Tuned model less its own base (share or slope)",
    "over_reaction": "Implied persistence less that of Bayes",
    "broken_share": "Runs that lose most refusals (share)",
    "excess_loss": "Task loss above the least (nats an answer)",
    "kappa": "Cohen's kappa",
    "share_apart": "Answers on which two measures differ (share)",
    "stereotypical_choices": "Stereotypical choices (share)",
    "removed_taught": "Slope removed, taught words (share)",
    "removed_unseen": "Slope removed, unseen words (share)",
    "neutral_ratio": "Neutral perplexity / base's",
    "share_trained": "Share of parameters that move",
    "drift": "Drift on anchors (nats a position)",
    "of_budget": "Drift / budget",
    "strength": "Strength of the penalty at the end",
    "kept": "Part of the update kept",
    "loss_ratio": "Task loss / plain",
    "excess_persistence": "Excess persistence (slope, no unit)",
    "calibration_gap": "|P(right verdict) - share of right labels|",
    "excess_left": "Excess persistence left (share)",
    "slope_left": "Pronoun slope left (share)",
    "worst_harm": "Worst harm on another axis (spreads of the base models)",
    "worse_axes": "Other axes that got worse (count)",
    "removed": "Bias removed on its own axis (share)",
    "turn_back": "P(refusal's first word) inside a recipe",
}
"""Axis labels, with units, of the metrics."""
CHANGE = "_change"
"""Ends the name of a metric less what it was before."""

STYLE = {
    "figure.dpi": 110, "savefig.dpi": 200, "figure.figsize": (WIDTH, 3.4),
    "figure.constrained_layout.use": True,
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8.5,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": "#e6e6e6", "grid.linewidth": 0.6,
    "axes.prop_cycle": plt.cycler(color=PALETTE), "lines.linewidth": 1.4, "lines.markersize": 4.5,
    "legend.frameon": False, "svg.fonttype": "path",
}


def use_style() -> None:
    """Set the workbook's style over matplotlib's defaults: a reader's matplotlibrc is left out."""
    plt.style.use(["default", STYLE])


def arms_of(frame: pd.DataFrame) -> list[Any]:
    """Arms in order of appearance."""
    return list(dict.fromkeys(frame["arm"]))


def look_of(arms: list[Any], arm: Any) -> dict[str, Any]:
    """Colour, marker and label of an arm; of one that is not listed, by its place in `arms`."""
    others = [other for other in arms if other not in (BASE, *ARMS)]
    place = ARMS.index(arm) if arm in ARMS else UNLISTED + others.index(arm) if arm != BASE else 0
    look = {"color": PALETTE[place % len(PALETTE)], "marker": MARKERS[place % len(MARKERS)]}
    return (look if arm != BASE else {"color": BLACK, "marker": "X"}) | {"label": name_of(arm)}


def name_of(label: Any) -> str:
    """An arm or condition as words."""
    return f"{label:g}" if isinstance(label, (int, float)) else str(label).replace("_", " ")


def label_of(metric: str) -> str:
    """A metric with its unit; its name where none is known."""
    if metric.endswith(CHANGE):
        return f"Change: {label_of(metric.removesuffix(CHANGE))}"
    return LABELS.get(metric, name_of(metric))


def panels(
    groups: Iterable[tuple[Any, Any]], columns: int, height: float, sharey: bool = False
) -> tuple[Figure, list[tuple[Axes, Any, Any]]]:
    """A figure, and the panel of each group (`height` inches) before its name and rows."""
    groups = list(groups)
    columns = min(columns, len(groups))
    lines = math.ceil(len(groups) / columns)
    figure, grid = plt.subplots(
        lines, columns, figsize=(WIDTH, lines * height + 0.4), sharey=sharey, squeeze=False
    )
    used, spare = np.split(grid.ravel(), [len(groups)])
    for axes in spare:
        axes.remove()
    return figure, [(axes, *group) for axes, group in zip(used, groups, strict=True)]


def legend(figure: Figure, place: str = "right upper") -> None:
    """All panels' labels, each once, arms first: a column beside the panels, or lines over them."""
    found = {label: handle for axes in figure.axes
             for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    labels = sorted(found, key=lambda label: not isinstance(found[label], Container))
    fit = min(len(labels), LETTERS // (max(map(len, labels)) + 8))
    figure.legend([found[label] for label in labels], labels, loc=f"outside {place}",
                  ncols=1 if place.startswith("right") else fit)
