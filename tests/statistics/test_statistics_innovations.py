"""Error on the last innovation: closed forms of known forecasters, and what is needed for it."""

import numpy as np
import pytest
import statsmodels.api as sm
from estimator_frames import ar1_frame

from lib.errors import InvalidValueError
from lib.forecasting.forecasters import (
    adaptive,
    add_noise,
    diagnostic,
    extrapolative,
    misperceived,
    sticky,
)
from lib.forecasting.frames import ar1_items, panel_items
from lib.forecasting.learners import full_information, least_squares
from lib.forecasting.processes import ar1
from lib.statistics.comparison import compare
from lib.statistics.innovations import (
    error_on_innovation,
    error_on_innovation_hac,
    innovation_coefficient,
    with_innovation,
)
from lib.statistics.regressions import NotDefinedError, implied_persistence


@pytest.fixture(scope="module", params=[0.0, 0.4, 0.8])
def items(request):
    return ar1_frame(request.param, series=400, rounds=8, history=12, seed=3)


FORECASTERS = {
    "full information": (full_information, lambda rho: rho),
    "misperceived": (lambda f: misperceived(f, 0.7), lambda rho: 0.7),
    "diagnostic": (lambda f: diagnostic(f, 0.5), lambda rho: 1.5 * rho),
    "sticky": (lambda f: sticky(f, 0.3), lambda rho: 0.7 * rho),
    "adaptive": (lambda f: adaptive(f, 0.4), lambda rho: 0.6),
    "extrapolative": (lambda f: extrapolative(f, 0.4), lambda rho: 1.4),
}


@pytest.mark.parametrize("name", FORECASTERS)
def test_known_forecasters_have_their_closed_form(items, name):
    forecaster, response = FORECASTERS[name]
    rho = items["rho"].iloc[0]
    found = error_on_innovation(forecaster(items))
    planted = innovation_coefficient(response(rho), rho)
    assert abs(found.value - planted) < 3 * found.se
    assert found.se < 0.03 and found.clusters == 400 and "exact" in found.method


def test_closed_form_at_a_longer_horizon():
    values = ar1(0.8, 500, 24, 8.0, seed=4)
    items = panel_items(values, 12, [str(k) for k in range(500)], 3, rho=0.8, mu=0.0, sigma=8.0)
    found = error_on_innovation(misperceived(items, 0.9))
    planted = innovation_coefficient(0.9**3, 0.8, 3)
    assert planted == pytest.approx(0.8**3 - 0.9**3)
    assert abs(found.value - planted) < 3 * found.se


def test_it_separates_news_from_level_where_implied_persistence_does_not():
    """Adaptive expectations at rho = 0.6: too little weight on news, too much persistence."""
    frame = adaptive(ar1_frame(0.6, 400, 8, seed=5), 0.5)
    assert error_on_innovation(frame).low > 0
    assert implied_persistence(frame).low > 0.6


def test_noise_in_forecasts_does_not_move_it(items):
    clean = misperceived(items, 0.7)
    noisy = error_on_innovation(add_noise(clean, 12.0, seed=1))
    assert abs(noisy.value - error_on_innovation(clean).value) < 3 * noisy.se


def test_innovations_are_those_that_made_the_series():
    values = ar1(0.6, 30, 20, 8.0, mu=50.0, seed=6)
    ids = [str(k) for k in range(30)]
    found = with_innovation(panel_items(values, 12, ids, rho=0.6, mu=50.0))["innovation"]
    shocks = values[:, 1:] - 50 - 0.6 * (values[:, :-1] - 50)
    assert found.to_numpy() == pytest.approx(shocks[:, 11:-1].ravel())


def test_without_parameters_the_surprise_is_a_learner_s():
    items = ar1_frame(0.6, 5, 4, history=10, seed=7).assign(rho=np.nan, mu=np.nan)
    found = with_innovation(items)["innovation"]
    for i in (0, 7, 19):
        past = np.array(items["previous_history"].iloc[i])
        slope, intercept = np.polyfit(past[:-1], past[1:], 1)
        assert found.iloc[i] == pytest.approx(items["x"].iloc[i] - intercept - slope * past[-1])


def test_a_rational_forecaster_passes_with_the_learner_s_surprise_too():
    items = full_information(ar1_frame(0.6, 600, 6, history=30, seed=8))
    found = error_on_innovation(items.drop(columns=["rho", "mu"]))
    assert found.covers(0.0) and "least-squares" in found.method
    biased = misperceived(ar1_frame(0.6, 600, 6, history=200, seed=8), 0.8)
    found = error_on_innovation(biased.drop(columns=["rho", "mu"]))
    assert found.value == pytest.approx(-0.2, abs=0.04)


def test_a_given_innovation_is_used_and_compare_takes_it(items):
    arms = [add_noise(misperceived(items, r), 2.0, seed=k) for k, r in enumerate((0.9, 0.6))]
    before, after = (with_innovation(f) for f in arms)
    change = compare(before, after, error_on_innovation)
    values = [error_on_innovation(f).value for f in (before, after)]
    assert change.value == pytest.approx(values[1] - values[0])
    assert "given" in error_on_innovation(before).method


def test_learner_on_the_display_scale_runs():
    items = least_squares(ar1_items([0.4], 30, 6, 12, 8.0, seed=2), data="shown")
    assert error_on_innovation(items).n == 180


def unknown_and_short(frame):
    short = frame["previous_history"].map(lambda h: h[-2:])
    return frame.assign(rho=np.nan, mu=np.nan, previous_history=short)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.assign(rho=f["rho"].where(f["t"] > 13)), "every row or in none"),
        (lambda f: f.drop(columns="previous_history"), "previous_history"),
        (lambda f: f.assign(series="one"), "two values of series"),
        (unknown_and_short, "longer history"),
    ],
)
def test_bad_frames_are_refused(spoil, message):
    frame = misperceived(ar1_frame(0.4, 10, 4, seed=1), 0.7)
    with pytest.raises(InvalidValueError, match=message):
        error_on_innovation(spoil(frame))


def test_an_innovation_that_never_varies_is_not_defined():
    frame = misperceived(ar1_frame(0.4, 10, 4, seed=1), 0.7).assign(innovation=0.0)
    with pytest.raises(NotDefinedError):
        error_on_innovation(frame)


def test_errors_of_one_series_are_newey_west():
    one = panel_items(ar1(0.6, 1, 130, 8.0, 100.0, seed=5), 12, ["one"])
    one = with_innovation(add_noise(misperceived(one.assign(mu=100.0), 0.8), 2.0))
    fit = sm.OLS(one["outcome"] - one["forecast"], sm.add_constant(one["innovation"])).fit(
        cov_type="HAC", cov_kwds={"maxlags": 4}, use_t=True)
    found = error_on_innovation_hac(one.sample(frac=1, random_state=1), maxlags=4)
    assert found.value == pytest.approx(fit.params.iloc[1])
    assert found.se == pytest.approx(fit.bse.iloc[1])
    assert error_on_innovation_hac(one.drop(columns="innovation"), 4).value == found.value
