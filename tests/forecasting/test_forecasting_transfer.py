"""The registry of transfer sets: what differs, who answers, and nobody who sees the future."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import UnknownNameError
from lib.forecasting import learners
from lib.forecasting import transfer as tr
from lib.forecasting.frames import horizon_of, panel_items, panel_values, shown
from lib.forecasting.transfer import Design, affine, equivariance_gap
from lib.statistics.regressions import implied_persistence
from lib.world.truth import settings as world

FORECASTS = ["forecast", "previous_forecast"]
SMALL = Design(series=5, rounds=4, seed=3)
AR1 = [n for n, row in tr.REGISTRY.items() if row.rational is learners.full_information]


@pytest.fixture(scope="module")
def frames():
    return {name: tr.transfer_items(name, SMALL) for name in tr.REGISTRY}


def test_the_priors_and_the_reference_row_are_those_of_the_world(frames):
    given_ = world("forecasts")
    assert list(tr.WORLD_GRID) == given_["rhos"]
    assert Design().mu == given_["mu"]
    assert Design().sigma in given_["sigmas"]
    assert not {0.5 * Design().sigma, 2 * Design().sigma} & set(given_["sigmas"])
    assert set(tr.UNSEEN) & set(learners.TRAINING_GRID) == set()
    assert set(frames["trained"]["rho"]) == set(learners.TRAINING_GRID)


@pytest.mark.parametrize("name", tr.REGISTRY)
def test_every_set_is_an_item_frame_on_the_display_scale_with_two_answers(frames, name):
    frame, row = frames[name], tr.REGISTRY[name]
    numbers = shown(frame)
    assert frame["history"].map(lambda h: all(type(v) is int for v in h)).all()
    assert numbers.min() >= 0 and numbers.max() <= 199 and frame["outcome"].between(0, 199).all()
    assert np.array_equal(numbers[:, -1], frame["x"])
    assert np.array_equal(numbers[:, :-1], shown(frame, "previous_history")[:, 1:])
    assert frame.groupby("series").size().eq(4).all() and (frame["set"] == name).all()
    for rule in (row.rational, row.feasible):
        filled = rule(frame)
        assert np.isfinite(filled[FORECASTS].to_numpy(dtype=float)).all()
        assert filled.drop(columns=FORECASTS).equals(frame)


@pytest.mark.parametrize(
    ("name", "rho", "sigma", "mu", "history", "horizon"),
    [
        ("trained", 1.0, 8, 100, 12, 1), ("unseen_persistence", 0.9, 8, 100, 12, 1),
        ("negative_persistence", -0.2, 8, 100, 12, 1), ("scale_half", 0.8, 4, 100, 12, 1),
        ("scale_double", 0.8, 16, 100, 12, 1), ("history_half", 0.8, 8, 100, 6, 1),
        ("history_double", 0.8, 8, 100, 24, 1), ("horizon_2", 0.8, 8, 100, 12, 2),
        ("level_low", 0.8, 8, 80, 12, 1), ("level_high", 0.8, 8, 120, 12, 1),
        ("sign_flipped", 0.8, 8, 100, 12, 1), ("scaled", 0.8, 8, 100, 12, 1),
        ("random_walk", 1.0, 8, 100, 12, 1),
    ],
)  # fmt: skip
def test_one_setting_differs_and_the_answer_is_the_closed_form(
    frames, name, rho, sigma, mu, history, horizon
):
    frame = frames[name]
    assert frame["rho"].max() == rho and set(frame["sigma"]) == {sigma}
    assert set(frame["mu"]) == {mu} and shown(frame).shape[1] == history
    assert horizon_of(frame) == horizon
    filled = tr.REGISTRY[name].rational(frame)
    expected = mu + frame["rho"] ** horizon * (frame["x"] - mu)
    assert np.allclose(filled["forecast"], expected)


def test_the_cases_above_are_all_ar1_sets():
    assert set(AR1) == {
        "trained", "unseen_persistence", "negative_persistence", "scale_half", "scale_double",
        "history_half", "history_double", "horizon_2", "level_low", "level_high",
        "sign_flipped", "scaled", "random_walk",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["scale_half", "scale_double", "negative_persistence"])
def test_series_have_the_spread_and_persistence_that_they_claim(name):
    frame = tr.transfer_items(name, Design(series=300, rounds=1, seed=4))
    for rho, cell in frame.groupby("rho"):
        x, before = cell["x"], cell["history"].str[-2]
        sd = cell["sigma"].iloc[0] / np.sqrt(1 - rho**2)
        assert x.std() == pytest.approx(sd, rel=0.15)
        assert np.corrcoef(x, before)[0, 1] == pytest.approx(rho, abs=0.15)


@pytest.mark.parametrize(("name", "factor"), [("sign_flipped", -1.0), ("scaled", 2.0)])
def test_transformed_sets_bring_their_originals_and_rational_answers_move_along(
    frames, name, factor
):
    moved, row = frames[name], tr.REGISTRY[name]
    original = affine(moved, 1 / factor)
    assert np.array_equal(100 + factor * (shown(original) - 100), shown(moved))
    for rule in (row.rational, row.feasible):
        gap = equivariance_gap(rule(original), rule(moved))["gap"]
        assert np.allclose(gap, 0, atol=1e-8)
    ignores = moved.assign(forecast=100.0 + 0.1 * original["x"])
    assert (equivariance_gap(original.assign(forecast=100.0), ignores)["gap"].abs() > 1).any()


@pytest.mark.parametrize("name", ["unseen_persistence", "scale_double", "horizon_2", "level_low"])
def test_the_feasible_answer_over_reacts_most_where_little_persists(name):
    frame = tr.transfer_items(name, Design(series=80, seed=5))
    cells = tr.REGISTRY[name].feasible(frame).groupby("rho")
    h = horizon_of(frame)
    excess = [implied_persistence(cell).value - rho**h for rho, cell in cells]
    assert excess[0] > 0.05 and excess[0] > 2 * abs(excess[-1])
    assert abs(excess[-1]) < 0.1


def test_sets_and_seeds_share_no_series():
    one, two = (tr.transfer_items("trained", Design(5, 4, seed=s)) for s in (1, 2))
    other = tr.transfer_items("level_high", Design(5, 4, seed=1))
    assert one.equals(tr.transfer_items("trained", Design(5, 4, seed=1)))
    assert not set(one["series"]) & (set(two["series"]) | set(other["series"]))
    cells = [f.loc[f["rho"] == 0.4, "x"].to_numpy() - f["mu"].iloc[0] for f in (one, two, other)]
    assert np.abs(np.corrcoef(cells)[np.triu_indices(3, 1)]).max() < 0.8


@pytest.mark.parametrize("name", [n for n in tr.REGISTRY if n != "break_in_mean"])
@settings(max_examples=3, deadline=None)
@given(cut=st.integers(12, 14), jump=st.integers(-50, 50))
def test_no_future_value_can_change_a_past_target(frames, name, cut, jump):
    assert_past_is_safe(frames[name], tr.REGISTRY[name], cut, jump)


def test_no_future_value_can_change_a_past_target_after_a_break_in_mean(frames):
    assert_past_is_safe(frames["break_in_mean"], tr.REGISTRY["break_in_mean"], 13, 30)


def assert_past_is_safe(frame, row, cut, jump):
    """Rebuild the panel with other values after ``cut``; the forecasts up to it must not move."""
    h, n = horizon_of(frame), shown(frame).shape[1]
    frame, cut = frame.loc[lambda f: f["rho"].isna() | (f["rho"] == f["rho"].max())], cut + n - 12
    values, index = panel_values(frame)
    ids = list(dict.fromkeys(frame["series"]))
    full = np.concatenate([values, np.zeros((len(values), h))], axis=1)
    full[index, frame["t"] + h] = frame["outcome"]
    changed = full.copy()
    changed[:, cut + 1 :] += jump
    known = {c: frame[c].iloc[0] for c in ("rho", "mu", "sigma")}
    one, two = (panel_items(v, n, ids, h, **known) for v in (full, changed))
    assert np.array_equal(shown(one), shown(frame))
    past = one["t"] <= cut
    assert past.any() and not past.all()
    for rule in (row.rational, row.feasible):
        before, after = rule(one), rule(two)
        pd.testing.assert_frame_equal(
            before.loc[past, FORECASTS], after.loc[past, FORECASTS], check_exact=True
        )


def test_an_unknown_set_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="unseen_persistence"):
        tr.transfer_items("unseen")
