"""Prompt arms: every planted prompt once, the choice on validation items only."""

import pandas as pd
import pytest
import world_models

from lib.chapters import overreaction as prompting
from lib.chapters.overreaction import describe_prompts, prompt_arms, validate_prompts
from lib.study.notebook import Study
from lib.world.analysts import imitation
from lib.world.truth import settings

PROMPTS = settings("forecasts")["prompts"]


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    return Study("smoke", 1, world_models.TINY | {"forecasting.series": 40}, notebook="02")


def test_every_prompt_is_an_arm_and_the_neutral_one_is_the_base():
    arms = prompt_arms()
    assert sorted(arms.values()) == sorted(PROMPTS) and arms["base"] == "neutral"
    assert all(arm == f"prompt_{name}" for arm, name in arms.items() if name != "neutral")
    assert len(arms) >= 7


def test_description_says_what_stands_before_and_what_was_planted():
    table = describe_prompts()
    assert table.loc["base", "what stands before"] == "nothing"
    for arm, name in prompt_arms().items():
        assert table.loc[arm, "planted factor"] == PROMPTS[name]["factor"]
    assert table["what stands before"].is_unique


def test_a_perfect_imitator_is_ranked_by_the_planted_factors(study, monkeypatch):
    seen = []

    def answered(study, kind, folder, run, score, items, prompt, number):
        seen.append(sorted(items["rho"].unique()))
        return imitation(items, prompt)

    monkeypatch.setattr(prompting, "model_frame", answered)
    table = validate_prompts(study, world_models.tiny_base())
    factors = [PROMPTS[prompt_arms()[arm]]["factor"] for arm in table.index]
    assert factors == sorted(factors)
    assert table["excess"].is_monotonic_increasing
    assert all(grid == sorted(study.profile.forecasting.validation_rhos) for grid in seen)


def test_a_model_answers_under_every_prompt(study):
    table = validate_prompts(study, world_models.tiny_base())
    assert isinstance(table, pd.DataFrame) and set(table.index) == set(prompt_arms())
    assert table["excess"].notna().all()
