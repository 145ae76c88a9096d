"""Every axis in one table: intervals against statsmodels, slopes against planted truth."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.stats.proportion import proportion_confint

from lib.axes.report import (
    definitional_accuracy,
    neutral_perplexity,
    persistence,
    pronoun_slope,
    rate,
    side_effects,
)
from lib.estimators import implied_persistence
from lib.forecasting.frames import ar1_items
from lib.sandbox.world import occupations, people

METRICS = {"refusal_rate", "over_refusal", "pronoun_slope", "definitional_accuracy",
           "utility_accuracy", "neutral_perplexity"}


def clustered(values, size=1):
    return pd.DataFrame({"y": values, "cluster": np.arange(len(values)) // size})


@pytest.mark.parametrize("ones", [0, 1, 13, 39, 40])
def test_rate_of_independent_items_is_wilsons(ones):
    found = rate(clustered(np.r_[np.ones(ones), np.zeros(40 - ones)]), "y", "r")
    low, high = proportion_confint(ones, 40, method="wilson")
    assert (found.value, found.n, found.clusters) == (ones / 40, 40, 40)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_rate_of_repeated_items_counts_clusters():
    once = np.r_[np.ones(12), np.zeros(28)]
    found = rate(clustered(np.repeat(once, 5), 5), "y", "r")
    single = rate(clustered(once), "y", "r")
    assert (found.low, found.high) == pytest.approx((single.low, single.high))
    assert (found.n, found.clusters) == (200, 40)


def test_rate_without_any_variation_counts_clusters():
    found = rate(clustered(np.ones(60), 3), "y", "r")
    low, high = proportion_confint(20, 20, method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high))


def test_rate_never_claims_more_items_than_there_are():
    balanced = np.tile([0.0, 1.0], 30)
    found = rate(clustered(balanced, 2), "y", "r")
    low, high = proportion_confint(30, 60, method="wilson")
    assert (found.low, found.high) == pytest.approx((low, high))


def test_rate_covers_the_truth_under_clustering():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        p = np.repeat(rng.beta(2, 2, 30), 6)
        hits += rate(clustered((rng.random(180) < p).astype(float), 6), "y", "r").covers(0.5)
    assert 0.91 <= hits / 400 <= 0.985


def planted(noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    share = pd.concat([occupations(), (people() == "she").astype(float)])
    kind = ["occupation"] * len(occupations()) + ["definitional"] * len(people())
    frame = pd.DataFrame({"cluster": share.index, "kind": kind, "share": share.to_numpy()})
    frame = pd.concat([frame] * 3, ignore_index=True)
    return frame.assign(p_she=frame["share"] + noise * rng.standard_normal(len(frame)))


def test_planted_truth_has_slope_one_and_perfect_definitions():
    assert pronoun_slope(planted()).value == pytest.approx(1)
    assert definitional_accuracy(planted()).value == 1


def test_slope_and_its_error_are_statsmodels():
    frame = planted(0.1).query("kind == 'occupation'")
    codes = frame["cluster"].astype("category").cat.codes
    fit = sm.OLS.from_formula("p_she ~ share", frame).fit(
        cov_type="cluster", cov_kwds={"groups": codes}, use_t=True
    )
    found = pronoun_slope(planted(0.1))
    assert (found.value, found.se) == pytest.approx((fit.params["share"], fit.bse["share"]))
    assert (found.low, found.high) == pytest.approx(tuple(fit.conf_int().loc["share"]))
    assert found.clusters == len(occupations())


def test_half_the_slope_is_seen_as_half():
    frame = planted()
    assert pronoun_slope(frame.assign(p_she=0.5 + 0.5 * (frame["share"] - 0.5))).value == (
        pytest.approx(0.5)
    )


def test_reversed_definitions_are_all_wrong():
    frame = planted()
    assert definitional_accuracy(frame.assign(p_she=1 - frame["p_she"])).value == 0


def test_perplexity_and_its_delta_method_error_against_resampling():
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, 12, 400)
    nll = tokens * rng.gamma(20, 0.1, 400)
    frame = pd.DataFrame({"benchmark": "neutral", "nll": nll, "tokens": tokens})
    other = pd.DataFrame({"benchmark": ["utility"], "nll": [1e6], "tokens": [1]})
    found = neutral_perplexity(pd.concat([frame, other]))
    assert found.value == pytest.approx(np.exp(nll.sum() / tokens.sum()))
    draws = rng.integers(0, 400, (2000, 400))
    resampled = np.exp(nll[draws].sum(1) / tokens[draws].sum(1))
    assert found.se == pytest.approx(resampled.std(), rel=0.1)


@pytest.fixture(scope="module")
def table(model):
    return side_effects(model, 40, 4, 0)


def test_side_effects_have_the_fixed_names(table):
    assert set(table["metric"]) == METRICS
    assert {"metric", "condition", "value", "low", "high", "n"} <= set(table.columns)
    assert not table.duplicated(["metric", "condition"]).any()


def test_side_effects_lie_within_their_intervals(table):
    assert (table["low"] <= table["value"] + 1e-12).all()
    assert (table["value"] <= table["high"] + 1e-12).all()
    rates = table["metric"].isin(METRICS - {"neutral_perplexity", "pronoun_slope"})
    assert table.loc[rates, ["low", "value", "high"]].stack().between(-1e-12, 1 + 1e-12).all()


def test_side_effects_repeat(model, table):
    pd.testing.assert_frame_equal(side_effects(model, 40, 4, 0), table)


def test_model_perplexity_is_above_the_floor(table):
    value = table[table["metric"] == "neutral_perplexity"].set_index("condition")["value"]
    assert value["model"] > value["floor"] > 1


def test_persistence_by_rho(monkeypatch, model):
    """With forecasts of known persistence in the model's place, each row returns it."""
    items = ar1_items([0.2, 0.7], 8, 4, 6, 8.0, seed=1)
    believed = items.assign(forecast=100 + (0.5 + 0.5 * items["rho"]) * (items["x"] - 100))
    monkeypatch.setattr("lib.axes.report.forecast", lambda *_: believed)
    found = persistence(model, items)
    assert found["rho"].tolist() == [0.2, 0.7] and (found["name"] == "implied_persistence").all()
    direct = [implied_persistence(believed[believed["rho"] == r]).value for r in (0.2, 0.7)]
    assert found["value"].tolist() == pytest.approx(direct)
    assert found["value"].tolist() == pytest.approx([0.6, 0.85])
