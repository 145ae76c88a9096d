"""Forecasts as blocks of token ids: what stands before them, and their own floors."""

import numpy as np
import pytest
from drawn_forecasts import GIVEN, PROMPTS, drawn, style
from scipy.stats import norm

from lib.world.analysts import answer_logp, history_logp
from lib.world.forecasts import draw_forecasts, draw_series, earlier_exchanges
from lib.world.tokenizer import END, number_id, world_tokenizer
from lib.world.truth import NUMBERS

SHOTS = GIVEN["prompts"]["few_shot"]["shots"]


def values(ids):
    """The integers of each row of token ids, in order."""
    number = (ids >= number_id(0)) & (ids <= number_id(NUMBERS[-1]))
    return (ids[number] - number_id(0)).reshape(len(ids), -1)


@pytest.mark.parametrize("horizon", [1, 2])
def test_examples_are_rational_and_of_other_series(horizon):
    shown, rng = drawn(0.8, 3000)
    earlier = earlier_exchanges("few_shot", horizon, shown, None, rng)
    assert len(earlier) == SHOTS
    for history, answer in earlier:
        x, y = history[:, -1] - GIVEN["mu"], answer - GIVEN["mu"]
        # Rational slopes lie between 0 and 1, each a power of a planted rho, up to rounding.
        away = np.abs(x) > 20
        slopes = y[away] / x[away]
        planted = np.array(GIVEN["rhos"]) ** horizon
        assert np.abs(slopes[:, None] - planted).min(1).max() < 0.5 / 20 + 1e-9
        assert abs(np.corrcoef(x, shown[:, -1])[0, 1]) < 0.08


def test_the_second_question_follows_the_first_answer():
    shown, rng = drawn(0.2, 5)
    first = np.arange(90, 95)
    (history, answer), = earlier_exchanges("again", 1, shown, first, rng)
    assert (history == shown).all() and (answer == first).all()


@pytest.mark.parametrize("prompt", ["neutral", "careful", "stated"])
def test_plain_instructions_have_no_earlier_exchange(prompt):
    shown, rng = drawn(0.2, 5)
    assert earlier_exchanges(prompt, 1, shown, None, rng) == []


@pytest.mark.parametrize("prompt", PROMPTS)
def test_block_ends_with_one_number_and_the_end(prompt):
    block = draw_forecasts(style(), prompt, 30, 6, np.random.default_rng(0))
    assert block.ids.shape[1] == block.start + 2
    assert (block.ids[:, -1] == END).all()
    number = block.ids[:, -2] - number_id(0)
    assert ((number >= 0) & (number < len(NUMBERS))).all()


def entropy_gap(block, shown, horizon, prompt, first=None):
    logs = np.column_stack([
        answer_logp(shown, np.full(len(shown), n), horizon, prompt, first) for n in NUMBERS
    ])
    return -block.logp + (np.exp(logs) * logs).sum(1)


@pytest.mark.parametrize("horizon", [1, 2])
def test_mean_loss_is_the_entropy_of_the_floors_own_distribution(horizon):
    block = draw_forecasts(style(horizon), "neutral", 1500, 8, np.random.default_rng(3))
    gap = entropy_gap(block, values(block.ids)[:, :8], horizon, "neutral")
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(len(gap))


def test_the_floor_of_a_second_thought_knows_the_first_answer():
    block = draw_forecasts(style(), "again", 1500, 8, np.random.default_rng(3))
    seen = values(block.ids)
    gap = entropy_gap(block, seen[:, :8], 1, "again", seen[:, 8])
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(len(gap))
    blind = answer_logp(seen[:, :8], seen[:, 9], 1, "again")
    assert block.logp.mean() > blind.mean() + 0.01


def test_stated_persistence_leaves_only_the_analysts_noise():
    block = draw_forecasts(style(), "stated", 400, 8, np.random.default_rng(4))
    noise = GIVEN["noise"]
    k = np.arange(-20, 21)
    # The mean falls anywhere between two integers, so average the entropy over its position.
    cells = [norm.cdf((k + u + 0.5) / noise) - norm.cdf((k + u - 0.5) / noise)
             for u in np.linspace(-0.5, 0.5, 41)]
    expected = np.mean([-(p[p > 0] * np.log(p[p > 0])).sum() for p in cells])
    assert abs(-block.logp.mean() - expected) < 4 * block.logp.std() / 20


def test_a_series_text_scores_every_value_it_lists():
    pattern = GIVEN["series"]["patterns"][0]
    block = draw_series(pattern, 50, 7, np.random.default_rng(1))
    seen = values(block.ids)
    assert seen.shape == (50, 7) and block.start == 1
    assert block.logp == pytest.approx(history_logp(seen))
    text = world_tokenizer().decode(block.ids[0, 1:-1])
    assert text == pattern["answer"].format(history=" ".join(map(str, seen[0])))


def test_probabilities_of_all_short_histories_sum_to_one():
    every = np.stack(np.meshgrid(NUMBERS, NUMBERS, indexing="ij"), -1).reshape(-1, 2)
    assert np.exp(history_logp(every)).sum() == pytest.approx(1.0, abs=2e-3)
