"""Transfer sets: what differs, who answers, nobody who sees the future, and exact maps."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.tsa.statespace.sarimax import SARIMAX
from statsmodels.tsa.statespace.structural import UnobservedComponents

from lib.errors import InvalidValueError, UnknownNameError
from lib.forecasting import learners
from lib.forecasting import transfer as tr
from lib.forecasting.bayes import break_path
from lib.forecasting.forecasters import extrapolative, misperceived
from lib.forecasting.frames import ar1_items, horizon_of, panel_items, panel_values, shown
from lib.forecasting.learners import bayes, full_information, least_squares
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
)
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
    }


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
        tr.transfer_items("unseen", SMALL)


# Processes other than AR(1).


DEPARTURES = {
    "ar2": tr.AR2, "ma1": tr.MA1, "local level": tr.LOCAL_LEVEL, "arch": tr.ARCH, "drift": tr.DRIFT,
    "rho": tr.REGISTRY["break_to_low"], "mean": tr.REGISTRY["break_in_mean"],
}
FEW = tr.Design(series=12, rounds=3, seed=5)


def diffuse_level(x):
    model = UnobservedComponents(x + 100.0, "local level")
    model.ssm.initialize("diffuse")
    model.ssm.loglikelihood_burn = 0
    return model


STATE_SPACE = {
    "ar2": (lambda x: SARIMAX(x, order=(2, 0, 0)), [1.2, -0.5, 64.0], 100.0),
    "ma1": (lambda x: SARIMAX(x, order=(0, 0, 1)), [0.8, 64.0], 100.0),
    "local level": (diffuse_level, [64.0, 16.0], 0.0),
}


@pytest.mark.parametrize("name", STATE_SPACE)
def test_full_information_equals_statsmodels_on_the_past_of_each_item(name):
    build, params, centre = STATE_SPACE[name]
    frame = DEPARTURES[name].rational(DEPARTURES[name].build(FEW))
    values, row = panel_values(frame)
    for i in (0, 10, 35):
        t = frame["t"][i]
        for column, end, ahead in (("forecast", t, 1), ("previous_forecast", t - 1, 2)):
            past = values[row[i], : end + 1] - 100.0
            expected = centre + build(past).smooth(np.array(params)).forecast(ahead)[-1]
            assert frame[column][i] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", DEPARTURES)
def test_items_are_integers_of_the_display_scale(name):
    frame = DEPARTURES[name].build(FEW)
    assert len(frame) == 36 and frame["rho"].isna().all()
    assert shown(frame).min() >= 0 and shown(frame).max() <= 199
    assert frame["x"].dtype.kind == "i" and frame["outcome"].between(0, 199).all()
    assert frame["rejected"].iloc[0] < 0.2


@pytest.mark.parametrize("name", DEPARTURES)
def test_who_knows_the_process_forecasts_best(name):
    frame = DEPARTURES[name].build(tr.Design(series=250, rounds=1, seed=6))

    def mse(filled):
        return float(((filled["outcome"] - filled["forecast"]) ** 2).mean())

    rational, feasible = DEPARTURES[name].rational(frame), DEPARTURES[name].feasible(frame)
    error = rational["outcome"] - rational["forecast"]
    gain = (feasible["outcome"] - feasible["forecast"]) ** 2 - error**2
    assert gain.mean() > -2 * gain.std() / np.sqrt(len(gain))
    assert mse(feasible) < mse(frame.assign(forecast=frame["history"].str[0]))
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(len(error))


def test_the_answer_to_arch_is_the_mean_and_to_drift_the_last_value_and_a_step():
    arch, drift = tr.ARCH.build(FEW), tr.DRIFT.build(FEW)
    assert (tr.ARCH.rational(arch)["forecast"] == 100).all()
    filled = tr.DRIFT.rational(drift)
    before = drift["previous_history"].str[-1]
    assert np.allclose(filled["forecast"], drift["x"] + 2)
    assert np.allclose(filled["previous_forecast"], before + 4)


@pytest.mark.parametrize("name", ["rho", "mean"])
def test_breaks_lie_three_values_before_the_end_of_the_first_history(name):
    assert tr.break_position(12) == 10
    frame = DEPARTURES[name].rational(DEPARTURES[name].build(FEW))
    rhos = {"rho": (0.9, 0.1), "mean": (0.4, 0.4)}[name]
    after = 124.0 if name == "mean" else 100.0
    assert np.allclose(frame["forecast"], after + rhos[1] * (frame["x"] - after))
    values, row = panel_values(frame)
    path = partial(break_path, rho_before=rhos[0], rho_after=rhos[1], break_at=10, mu=100,
                   mu_after=after)
    assert np.allclose(frame["previous_forecast"], path(values, 2)[row, frame["t"] - 1])


def test_a_learner_takes_time_to_believe_in_a_new_mean():
    row = tr.REGISTRY["break_in_mean"]
    frame = row.build(tr.Design(series=40, rounds=8, seed=7))
    gap = row.rational(frame)["forecast"] - row.feasible(frame)["forecast"]
    gap = gap.groupby(frame["t"]).mean()
    assert gap.iloc[0] > 2 * abs(gap.iloc[-1]) and gap.iloc[0] > 2


# Maps.


EQUIVARIANT = {
    "full information": full_information,
    "bayes": bayes,
    "least squares": least_squares,
    "shown": lambda items: least_squares(items, data="shown"),
    "humans": misperceived,
    "extrapolative": extrapolative,
}


@pytest.fixture(scope="module")
def narrow():
    return ar1_items([0.0, 0.6], 20, 4, 12, 4.0, low=51, high=149, seed=3)


@pytest.mark.parametrize("factor", [-1.0, 2.0])
def test_every_number_moves_and_the_inverse_map_brings_it_back(narrow, factor):
    moved = affine(narrow, factor)
    assert np.array_equal(shown(moved), 100 + factor * (shown(narrow) - 100))
    assert np.array_equal(moved["x"], shown(moved)[:, -1])
    assert np.array_equal(moved["outcome"] - 100, factor * (narrow["outcome"] - 100))
    assert (moved["sigma"] == abs(factor) * narrow["sigma"]).all()
    assert moved["history"].map(lambda h: all(type(v) is int for v in h)).all()
    back = affine(moved, 1 / factor).drop(columns=["factor", "centre"])
    pd.testing.assert_frame_equal(back, narrow, check_dtype=False)


def test_forecasts_do_not_travel(narrow):
    assert "forecast" not in affine(full_information(narrow), -1.0)


def test_numbers_that_would_need_rounding_or_clipping_are_refused(narrow):
    for factor in (0.5, 12.0):
        with pytest.raises(InvalidValueError, match="narrower scale"):
            affine(narrow, factor)


@pytest.mark.parametrize("name", EQUIVARIANT)
@pytest.mark.parametrize("factor", [-1.0, 2.0])
def test_rational_forecasters_have_no_gap(narrow, name, factor):
    rule = EQUIVARIANT[name]
    gap = equivariance_gap(rule(narrow), rule(affine(narrow, factor)))["gap"]
    assert np.allclose(gap, 0, atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(level=st.floats(0, 199), weight=st.floats(0.05, 1))
def test_a_pull_towards_a_level_has_the_gap_of_the_formula(level, weight):
    frame = ar1_items([0.6], 4, 3, 12, 4.0, low=51, high=149, seed=4)

    def pulled(items):
        rational = full_information(items)
        return rational.assign(forecast=(1 - weight) * rational["forecast"] + weight * level)

    for factor in (-1.0, 2.0):
        gap = equivariance_gap(pulled(frame), pulled(affine(frame, factor)))["gap"]
        # w (L - 100) is added to both; mapped back it is divided by the factor.
        assert np.allclose(gap, weight * (level - 100) * (1 / factor - 1), atol=1e-8)


def test_order_of_rows_does_not_matter_and_the_index_is_kept(narrow):
    rule = EQUIVARIANT["shown"]
    one = rule(narrow).sample(frac=1, random_state=1)
    two = affine(narrow, -1.0).sample(frac=1, random_state=2).assign(forecast=100.0)
    gap = equivariance_gap(one, two)
    assert gap.index.equals(one.index)
    assert np.allclose(gap["gap"], 100 - one["forecast"])


def test_other_items_are_refused(narrow):
    filled, moved = full_information(narrow), full_information(affine(narrow, -1.0))
    with pytest.raises(InvalidValueError, match="same items"):
        equivariance_gap(filled.iloc[1:], moved)
    with pytest.raises(InvalidValueError, match="same items"):
        equivariance_gap(filled, moved.assign(x=moved["x"] + 1))
