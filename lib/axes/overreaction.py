"""Over-reaction: the exact mean forecast of a model, and its forecast of one round before."""

import numpy as np
import pandas as pd

from lib.forecasting.frames import shown
from lib.models import LoadedModel
from lib.sandbox.analysts import chat_matrix
from lib.sandbox.world import NUMBERS, settings
from lib.scoring import predictive_mean


def style(horizon: int = 1, number: int = 0) -> dict:
    """The `number`-th way of asking for a forecast `horizon` steps ahead."""
    return [s for s in settings("forecasts")["styles"] if s.get("horizon", 1) == horizon][number]


def forecast(
    model: LoadedModel, items: pd.DataFrame, prompt: str = "neutral", number: int = 0
) -> pd.DataFrame:
    """The items with the model's forecasts filled in.

    Parameters
    ----------
    items : DataFrame
        From `lib.forecasting.frames`: columns rho, history, previous_history and more.
    prompt : str
        An instruction of ``data/sandbox/forecasts.yml``.
    number : int
        Which style of question.

    Returns
    -------
    DataFrame
        With ``forecast`` (mean of x_{t+1} given the history), ``previous_forecast`` (of the same
        value, asked a round earlier, two steps ahead), ``forecast_sd`` and ``mass`` (probability
        that the answer is a number at all).
    """
    now = _means(model, items, "history", prompt, style(1, number))
    before = _means(model, items, "previous_history", prompt, style(2, number))
    return items.assign(
        axis="overreaction", item=items["series"] + ":" + items["t"].astype(str),
        cluster=items["series"], forecast=now["mean"].to_numpy(),
        previous_forecast=before["mean"].to_numpy(), forecast_sd=now["sd"].to_numpy(),
        mass=now["mass"].to_numpy(),
    )


def _means(
    model: LoadedModel, items: pd.DataFrame, column: str, prompt: str, asked: dict
) -> pd.DataFrame:
    # A real series has no known rho; only an instruction that states it needs the value.
    rho = items["rho"].fillna(0.0).to_numpy() if "rho" in items else np.zeros(len(items))
    ids, _ = chat_matrix(asked, prompt, shown(items, column).astype(int), rho)
    return predictive_mean(model, ids.tolist(), NUMBERS[0], NUMBERS[-1])
