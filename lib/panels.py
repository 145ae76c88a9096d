"""The extrapolation chapter's panels: items, a model's cached forecasts, rows for exhibits."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lib.axes.overreaction import forecast
from lib.axes.report import side_effects
from lib.errors import InvalidValueError
from lib.estimators import (
    Estimate,
    by_condition,
    combine_seeds,
    compare,
    holm,
    implied_persistence,
    share_removed,
)
from lib.forecasting.frames import ar1_items, window_items
from lib.forecasting.real import real_series
from lib.models import load

if TYPE_CHECKING:
    from lib.study import Study


def panel(study: "Study", unseen: bool = False) -> pd.DataFrame:
    """Test items on the training grid of rho, or on values kept out of every correction."""
    given = study.profile.forecasting
    rhos = given.unseen_rhos if unseen else given.rhos
    # Test series must not share random numbers with training histories, whatever the seed.
    seed = 10_000 + 2 * study.seed + unseen
    return ar1_items(rhos, given.series, given.rounds, given.history, given.sigma, seed=seed)


def real_panel(study: "Study", name: str, last: int = 200) -> pd.DataFrame:
    """The last windows of a real series, on the display scale of the world.

    The spread matches a stationary series of the world's middle size; see `window_items`.
    """
    items = window_items(real_series(name), study.profile.forecasting.history, name)
    return items.tail(last).reset_index(drop=True)


def forecasts(
    study: "Study", folder: Path, items: pd.DataFrame, prompt: str = "neutral", number: int = 0
) -> pd.DataFrame:
    """The items with a model's forecasts; cached in the run's store."""
    columns = ["series", "t", "x", "outcome"]
    digest = int(pd.util.hash_pandas_object(items[columns], index=False).sum())
    inputs = {"model": folder, "items": str(digest), "prompt": prompt, "style": number}
    return study.store.frame("overreaction", inputs,
                             lambda: forecast(load(folder), items, prompt, number), code=[__name__])


def effects(study: "Study", folder: Path) -> pd.DataFrame:
    """Refusals, pronouns, utility and neutral text of a model; cached in the run's store."""
    items, history = study.profile.evaluation.items, study.profile.forecasting.history
    inputs = {"model": folder, "items": items, "history": history, "seed": study.seed}
    return study.store.frame("side_effects", inputs,
                             lambda: side_effects(load(folder), items, history, study.seed),
                             code=[__name__])


def rows(frame: pd.DataFrame, arm: str, seeds: int = 1) -> pd.DataFrame:
    """Rows of an exhibit: one arm's estimates, from `by_condition` or `effects`."""
    tidy = frame.rename(columns={"rho": "condition", "name": "metric"})
    tidy = tidy.assign(arm=arm, seeds=seeds)
    return tidy[["arm", "condition", "metric", "value", "low", "high", "n", "seeds"]]


def coefficient_rows(frame: pd.DataFrame, estimator, arm: str) -> pd.DataFrame:
    """One arm's coefficient by rho."""
    return rows(by_condition(frame, estimator), arm)


def row(estimate: Estimate, arm: str, condition: object, seeds: int = 1) -> pd.DataFrame:
    """One estimate as a row of an exhibit."""
    return rows(pd.DataFrame([{"name": estimate.name, "rho": condition, "value": estimate.value,
                               "low": estimate.low, "high": estimate.high, "n": estimate.n}]),
                arm, seeds)


def pooled_rows(frames: list[pd.DataFrame], estimator, arm: str) -> pd.DataFrame:
    """One arm's coefficient by rho over training seeds (Rubin's rules; `combine_seeds`)."""
    parts = []
    for rho in sorted(frames[0]["rho"].unique()):
        cells = [estimator(f[f["rho"] == rho]) for f in frames]
        parts.append(row(combine(cells), arm, rho, len(frames)))
    return pd.concat(parts, ignore_index=True)


def combine(estimates: list[Estimate]) -> Estimate:
    """Several seeds as one estimate; a single seed as it is."""
    return combine_seeds(estimates) if len(estimates) > 1 else estimates[0]


def change_rows(before: pd.DataFrame, after: list[pd.DataFrame], arm: str) -> pd.DataFrame:
    """Change of implied persistence by rho on identical items, seeds pooled, Holm-corrected."""
    parts, estimates = [], []
    for rho in sorted(before["rho"].unique()):
        cell = before[before["rho"] == rho]
        estimates.append(combine(
            [compare(cell, f[f["rho"] == rho], implied_persistence) for f in after]))
        parts.append(row(estimates[-1], arm, rho, len(after)))
    return pd.concat(parts, ignore_index=True).assign(p_holm=holm(estimates))


def removed_rows(
    before: pd.DataFrame, after: list[pd.DataFrame], rational: pd.DataFrame, arm: str
) -> pd.DataFrame:
    """Share of the excess persistence over the rational row that is gone, pooled over rho.

    Empty values where there was no excess to remove (an untrained model, say).
    """
    try:
        shares = [share_removed(before, f, rational, by="rho") for f in after]
    except InvalidValueError:
        nothing = Estimate("share_removed", *[float("nan")] * 4, len(before), 0, "not defined")
        return row(nothing, arm, "all rho", len(after))
    return row(combine(shares), arm, "all rho", len(after))


def effect_rows(frames: list[pd.DataFrame], arm: str) -> pd.DataFrame:
    """Side effects of one arm: means over training seeds, the widest limits of any seed."""
    stacked = pd.concat(frames).groupby(["metric", "condition"], sort=False)
    table = stacked.agg(value=("value", "mean"), low=("low", "min"), high=("high", "max"),
                        n=("n", "first")).reset_index()
    return rows(table, arm, len(frames))


def loss_rows(texts: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Loss, entropy floor and their gap of each kind of text, nats a token.

    Intervals are normal, from the spread over texts (delta method for the ratio of sums).
    """
    parts = []
    for kind, group in texts.groupby("benchmark"):
        for metric, nats in (("loss", group["nll"]), ("entropy_floor", group["floor"]),
                             ("gap", group["nll"] - group["floor"])):
            value = nats.sum() / group["tokens"].sum()
            spread = (nats - value * group["tokens"]).std() / group["tokens"].mean()
            reach = 1.96 * spread / len(group) ** 0.5
            parts.append({"rho": kind, "name": metric, "value": value, "low": value - reach,
                          "high": value + reach, "n": len(group)})
    return rows(pd.DataFrame(parts), arm)


TARGETS = {
    ("refusal_rate", "unseen_phrasing"): (0.95, 1.0),
    ("refusal_rate", "unseen_member"): (0.95, 1.0),
    ("over_refusal", "benign"): (0.0, 0.02),
    ("pronoun_slope", "plain"): (0.85, 1.15),
    ("definitional_accuracy", "plain"): (0.97, 1.0),
    ("utility_accuracy", "questions"): (0.90, 1.0),
}
"""What the base model must show before anything is measured with it: lowest, highest value."""


def acceptance(quality: pd.DataFrame) -> pd.DataFrame:
    """Each target beside the measured value; neutral perplexity is held to 1.15 x its floor."""
    values = quality.set_index(["metric", "condition"])["value"]
    limits = TARGETS | {
        ("neutral_perplexity", "model"): (0.0, 1.15 * values["neutral_perplexity", "floor"])
    }
    table = pd.DataFrame(limits, index=["lowest", "highest"]).T
    table["value"] = values[table.index]
    return table.assign(met=table["value"].between(table["lowest"], table["highest"]))
