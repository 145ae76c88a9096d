"""Training sets: targets by hand, nothing unseen taught, placebos that differ in answers only."""

import numpy as np
import pytest
import statsmodels.api as sm
import world_models

from lib.chapters import correction as labels
from lib.chapters.correction import UNSEEN_STYLE, answers, training_examples, validation_examples
from lib.world import analysts
from lib.world.truth import settings

MU = settings("forecasts")["mu"]


@pytest.fixture(scope="module")
def examples():
    return training_examples(world_models.tiny_profile(), 1)


def asked(example):
    """The text of a question; it is all that stands before the answer."""
    ((who, text),) = example.prompt.messages
    assert who == "user" and not example.prompt.opening
    return text


def numbers(example):
    return [int(word) for word in asked(example).split() if word.isdigit()]


@pytest.mark.parametrize("rho", [0.0, 0.4, 1.0])
def test_targets_are_rounded_rational_forecasts(rho):
    profile = world_models.tiny_profile(**{"forecasting.rhos": [rho]})
    seen = set()
    for example in training_examples(profile, 0):
        horizon = 2 if "after next" in asked(example) else 1
        target = np.clip(np.rint(MU + rho**horizon * (numbers(example)[-1] - MU)), 0, 199)
        assert example.answer == str(int(target)) and example.ends
        seen.add(horizon)
    assert seen == {1, 2}


def test_as_many_examples_as_asked_each_of_the_profiles_history(examples):
    profile = world_models.tiny_profile()
    assert len(examples) == profile.finetune.examples
    assert len(training_examples(profile, 1, n=7)) == 7
    assert {len(numbers(e)) for e in examples} == {profile.forecasting.history}


@pytest.mark.parametrize("n", [4, 10, 60])
def test_few_examples_already_mix_all_styles(n):
    texts = [asked(e)[:8] for e in training_examples(world_models.tiny_profile(), 1, n=n)]
    assert len(set(texts)) >= 2


def test_unseen_style_is_never_taught_and_every_other_is(examples):
    styles = settings("forecasts")["styles"]
    unseen = [s for s in styles if s.get("horizon", 1) == 1][UNSEEN_STYLE]["user"].split("{")[0]
    texts = list(map(asked, examples))
    assert unseen and not any(unseen in text for text in texts)
    for style in styles:
        start, end = style["user"].split("{history}")
        shown = any(start in text and end.strip() in text for text in texts)
        assert shown or start == unseen


@pytest.mark.parametrize(
    ("draw", "grid"), [(training_examples, "rhos"), (validation_examples, "validation_rhos")]
)
def test_only_the_splits_persistences_are_drawn(monkeypatch, draw, grid):
    drawn, real = set(), analysts.histories
    monkeypatch.setattr(
        labels, "histories", lambda rho, *rest: drawn.update(rho) or real(rho, *rest)
    )
    profile = world_models.tiny_profile()
    draw(profile, 3)
    given = profile.forecasting
    assert drawn <= set(getattr(given, grid))
    assert not drawn & set(given.unseen_rhos)


def test_validation_shares_no_question_with_training(examples):
    held_out = validation_examples(world_models.tiny_profile(), 1)
    assert len(held_out) == world_models.tiny_profile().correction.validation_examples
    assert not {e.prompt for e in held_out} & {e.prompt for e in examples}


def test_examples_follow_the_seed(examples):
    again, other = (training_examples(world_models.tiny_profile(), s) for s in (1, 2))
    assert again == examples and other != examples


@pytest.mark.parametrize("placebo", ["naive", "shuffled", "least_squares"])
def test_placebos_ask_the_same_questions(examples, placebo):
    other = training_examples(world_models.tiny_profile(), 1, placebo)
    if placebo == "naive":
        assert [int(e.answer) for e in other] == [numbers(e)[-1] for e in other]
    assert [e.prompt for e in other] == [e.prompt for e in examples]
    assert [e.answer for e in other] != [e.answer for e in examples]


def panel(n=400, rho=0.5):
    rng = np.random.default_rng(0)
    return analysts.histories(np.full(n, rho), np.full(n, 8.0), 12, rng), np.full(n, rho), rng


def test_shuffled_answers_are_the_rational_ones_and_carry_no_information():
    shown, rho, rng = panel()
    full = answers("rational", shown, rho, 1, rng)
    mixed = answers("shuffled", shown, rho, 1, rng)
    assert sorted(mixed) == sorted(full)
    assert abs(np.corrcoef(mixed, shown[:, -1])[0, 1]) < 0.15


def test_least_squares_answers_are_those_of_statsmodels():
    shown, rho, rng = panel(n=20)
    given = answers("least_squares", shown, rho, 1, rng)
    for row, answer in zip(shown.astype(float), given, strict=True):
        fit = sm.OLS(row[1:], sm.add_constant(row[:-1])).fit()
        expected = np.clip(np.rint(fit.params @ [1.0, row[-1]]), 0, 199)
        assert abs(answer - expected) <= 1  # a tie may round either way
