"""Over-reaction: the exact mean forecast of a model, and its forecast of one round before."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lib.forecasting.frames import ar1_items, horizon_of, shown
from lib.measures.axis import Axis
from lib.models.folders import LoadedModel
from lib.models.numbers import predictive_mean
from lib.statistics.estimate import Measure
from lib.statistics.regressions import implied_persistence
from lib.world.forecasts import earlier_exchanges
from lib.world.questions import question
from lib.world.truth import NUMBERS, settings

if TYPE_CHECKING:
    from lib.study.profiles import Profile


PANEL_SEED = 10_000
"""Test series must not share random numbers with training histories, whatever the seed."""
EXAMPLES_SEED = 20_000
"""Draws the rational examples of the few-shot prompt; no series of a test shares it."""


def style(horizon: int = 1, number: int = 0) -> dict:
    """The `number`-th way of asking for a forecast `horizon` steps ahead."""
    return styles(horizon)[number]


def styles(horizon: int) -> list[dict]:
    """All ways of asking for it."""
    return [s for s in settings("forecasts")["styles"] if s.get("horizon", 1) == horizon]


def forecast(
    model: LoadedModel, items: pd.DataFrame, prompt: str = "neutral", number: int = 0
) -> pd.DataFrame:
    """`forecast_now`, and ``previous_forecast`` of the same values, asked a round earlier.

    The latter is missing where the world has no question for two steps ahead.
    """
    if not styles(2):
        return forecast_now(model, items, prompt, number).assign(previous_forecast=np.nan)
    before = _means(model, items, "previous_history", prompt, style(2, number))
    now = forecast_now(model, items, prompt, number)
    return now.assign(previous_forecast=before["mean"].to_numpy())


def forecast_now(
    model: LoadedModel, items: pd.DataFrame, prompt: str = "neutral", number: int = 0
) -> pd.DataFrame:
    """The items with the model's ``forecast``, ``forecast_sd`` and ``mass`` at their horizon."""
    now = _means(model, items, "history", prompt, style(horizon_of(items), number))
    return items.assign(
        axis="overreaction", item=items["series"] + ":" + items["t"].astype(str),
        cluster=items["series"], forecast=now["mean"].to_numpy(),
        forecast_sd=now["sd"].to_numpy(), mass=now["mass"].to_numpy(),
    )


def _means(
    model: LoadedModel, items: pd.DataFrame, column: str, prompt: str, asked: dict
) -> pd.DataFrame:
    # A real series has no known rho; only an instruction that states it needs the value.
    rho = items["rho"].fillna(0.0).to_numpy() if "rho" in items else np.zeros(len(items))
    history, first = shown(items, column).astype(int), None
    if "again" in settings("forecasts")["prompts"][prompt]:
        plain = _means(model, items, column, "neutral", asked)
        first = np.rint(plain["mean"].to_numpy()).astype(int)
    # Every model is shown the same examples.
    rng = np.random.default_rng(EXAMPLES_SEED)
    earlier = earlier_exchanges(prompt, asked.get("horizon", 1), history, first, rng)
    prompts = question(asked, prompt, history, rho, earlier)
    return predictive_mean(model, prompts, NUMBERS[0], NUMBERS[-1])


def panel(profile: "Profile", split: str = "train") -> pd.DataFrame:
    """Test series with the persistences of one split; no series is in any training set."""
    given = profile.forecasting
    grids = {"train": given.rhos, "validation": given.validation_rhos, "unseen": given.unseen_rhos}
    seed = PANEL_SEED + len(grids) * profile.seed + list(grids).index(split)
    return ar1_items(grids[split], given.series, given.rounds, given.history, given.sigma,
                     seed=seed)


def items(profile: "Profile") -> pd.DataFrame:
    """The chapters' own panel, on the training grid of rho."""
    return panel(profile).assign(benchmark="ar1")


def summarise(frame: pd.DataFrame) -> list[Measure]:
    """One slope for each rho; conditions read ``rho 0.4``."""
    return [Measure.of(implied_persistence(cell), f"rho {rho}")
            for rho, cell in frame.groupby("rho")]


AXIS = Axis("overreaction", items, forecast_now, summarise)
"""``implied_persistence`` by rho; the chapters on extrapolation measure more of it."""
