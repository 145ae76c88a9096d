"""Over-reaction: the model's exact means, for now and for one round before."""

import numpy as np
import pytest
import torch

from lib.forecasting.frames import ar1_items
from lib.measures import overreaction
from lib.measures.overreaction import forecast, style
from lib.models.chat import Prompt, encoded
from lib.models.numbers import predictive_mean
from lib.world.truth import settings


@pytest.fixture(scope="module")
def items():
    return ar1_items([0.0, 0.5], 3, 2, 6, 8.0, seed=1)


@pytest.fixture(scope="module")
def filled(model, items):
    return forecast(model, items)


def prompts(model, items, column, asked, system=None):
    users = [asked["user"].format(history=" ".join(str(int(v)) for v in h)) for h in items[column]]
    return encoded(model.tokenizer, [Prompt.chat(u, system) for u in users])


def test_forecasts_are_predictive_means_of_the_written_prompt(model, items, filled):
    now = predictive_mean(model, prompts(model, items, "history", style()), 0, 199)
    np.testing.assert_allclose(filled["forecast"], now["mean"], rtol=1e-5)
    np.testing.assert_allclose(filled["forecast_sd"], now["sd"], rtol=1e-5)
    np.testing.assert_allclose(filled["mass"], now["mass"], rtol=1e-5)


def test_previous_forecast_asks_two_steps_ahead_a_round_earlier(model, items, filled):
    asked = prompts(model, items, "previous_history", style(2))
    before = predictive_mean(model, asked, 0, 199)
    np.testing.assert_allclose(filled["previous_forecast"], before["mean"], rtol=1e-5)


def test_mean_of_the_raw_softmax(model, items, filled):
    ids = torch.tensor([prompts(model, items, "history", style())[0]])
    with torch.no_grad():
        p = model.model(ids).logits[0, -1].softmax(0)
    n = np.arange(200)
    number = p[model.tokenizer.convert_tokens_to_ids([str(i) for i in n])].double().numpy()
    assert filled["mass"][0] == pytest.approx(number.sum(), rel=1e-4)
    assert filled["forecast"][0] == pytest.approx(number @ n / number.sum(), rel=1e-5)


def test_an_instruction_and_the_stated_persistence_reach_the_prompt(model, items):
    half = items[items["rho"] == 0.5].reset_index(drop=True)
    system = settings("forecasts")["prompts"]["stated"]["system"].format(tenths=5)
    direct = predictive_mean(model, prompts(model, half, "history", style(), system), 0, 199)
    np.testing.assert_allclose(forecast(model, half, "stated")["forecast"], direct["mean"],
                               rtol=1e-5)


def test_another_style_of_question(model, items):
    direct = predictive_mean(model, prompts(model, items, "history", style(1, 1)), 0, 199)
    found = forecast(model, items, number=1)["forecast"]
    np.testing.assert_allclose(found, direct["mean"], rtol=1e-5)


def test_items_stay_as_they_are_and_gain_keys(items, filled):
    assert filled[list(items.columns)].equals(items) and "forecast" not in items
    assert filled["item"].is_unique and (filled["cluster"] == items["series"]).all()
    assert (filled["axis"] == "overreaction").all()


def test_items_without_a_known_persistence(model, items, filled):
    found = forecast(model, items.drop(columns="rho"))
    np.testing.assert_allclose(found["forecast"], filled["forecast"], rtol=1e-5)


def test_styles_by_horizon():
    for s in settings("forecasts")["styles"]:
        horizon = s.get("horizon", 1)
        same = [o for o in settings("forecasts")["styles"] if o.get("horizon", 1) == horizon]
        assert style(horizon, same.index(s)) == s
    with pytest.raises(IndexError):
        style(1, 99)


def test_the_axis_finds_a_planted_persistence_by_rho(model, profile):
    """With forecasts of known persistence in the model's place, each row returns it."""
    axis = overreaction.AXIS
    items = axis.items(profile)
    believed = 100 + (0.5 + 0.5 * items["rho"]) * (items["x"] - 100)
    found = axis.summarise(axis.score(model, items).assign(forecast=believed))
    rhos = sorted(profile.forecasting.rhos)
    assert [m.condition for m in found] == [f"rho {rho}" for rho in rhos]
    assert [m.value for m in found] == pytest.approx([0.5 + 0.5 * rho for rho in rhos])
    assert all(m.clusters == profile.forecasting.series for m in found)


def test_panels_hold_the_grid_and_share_nothing(profile):
    seen, unseen = overreaction.panel(profile), overreaction.panel(profile, "unseen")
    assert set(seen["rho"]) == set(profile.forecasting.rhos)
    assert set(unseen["rho"]) == set(profile.forecasting.unseen_rhos)
    assert not {tuple(h) for h in seen["history"]} & {tuple(h) for h in unseen["history"]}
