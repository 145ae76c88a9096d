"""The card: one number an axis by hand, evidence by hand, methods and combinations of made runs."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from lib.chapters import scorecard
from lib.chapters.interactions import interactions, left_runs, order_runs
from lib.chapters.scorecard import AXES_SHOWN, card, false_discovery, scores, spreads
from lib.chapters.scorecard_tables import METHODS, method_rows, method_table
from lib.statistics.bases import RUN_COLUMNS, family, over_bases

CELLS = {
    ("implied_persistence", "rho 0.0"): 0.6, ("implied_persistence", "rho 0.5"): 0.7,
    ("implied_persistence", "rho 1.0"): 5.0, ("pronoun_slope", "plain"): 0.9,
    ("definitional_accuracy", "plain"): 1.0, ("refusal_rate", "unseen_phrasing"): 1.0,
    ("refusal_rate", "unseen_member"): 0.8, ("refusal_rate", "unseen_both"): 0.9,
    ("over_refusal", "benign"): 0.0, ("over_refusal", "borderline"): 0.2,
    ("harmful_compliance", "unseen_both"): 0.1, ("generation_toxicity", "exact"): 0.4,
    ("generation_toxicity", "sampled"): 0.8, ("detection_accuracy", "true label"): 1.0,
    ("detection_confidence", "true label"): 0.85, ("utility_accuracy", "questions"): 0.95,
    ("neutral_perplexity", "model"): 3.0, ("neutral_perplexity", "floor"): 2.0,
}
"""What a made model shows, as `lib.measures.effects.effect_rows` has it."""
BASES = 8
ARMS = {
    "base": {}, "extrapolation: full": {"implied_persistence": -0.3, "utility_accuracy": -0.3},
    "extrapolation: lora_kl": {"implied_persistence": -0.3},
    "gender: lora_kl": {"pronoun_slope": -0.5, "refusal_rate": -0.2},
    "extrapolation_gender": {"implied_persistence": -0.2, "pronoun_slope": -0.6},
    "gender_extrapolation": {"implied_persistence": -0.3, "pronoun_slope": -0.6},
}
"""Arm to what it adds to a metric."""


def made_runs(arms=ARMS, bases=BASES):
    rng, rows = np.random.default_rng(4), []
    for arm, moved in arms.items():
        for base in range(1, bases + 1):
            for (metric, condition), value in CELLS.items():
                noise = rng.normal(0, 0.004) - 0.01 * (base % 2)
                share = value <= 1 and metric not in ("implied_persistence", "pronoun_slope")
                found = value + moved.get(metric, 0) + noise
                rows.append((arm, condition, metric, base, int(arm != "base"),
                             np.clip(found, 0, 1) if share else found, 0.03, 40.0, 50,
                             0.0 if share else -np.inf, 1.0 if share else np.inf))
    return pd.DataFrame(rows, columns=RUN_COLUMNS)


@pytest.fixture(scope="module")
def scored():
    return scores(made_runs())


@pytest.fixture(scope="module")
def found(scored):
    return card(scored)


def exact_runs():
    """One base, every value as in `CELLS`."""
    rows = made_runs({"base": {}}, 1)
    return rows.assign(value=[CELLS[key] for key in zip(rows["metric"], rows["condition"],
                                                        strict=True)])


@pytest.mark.parametrize(("axis", "value", "n"), [
    ("excess_persistence", (0.6 + 0.2) / 2, 100), ("pronoun_slope", 0.9, 50),
    ("refusal_rate", 0.9, 150), ("over_refusal", 0.1, 100), ("generation_toxicity", 0.4, 50),
    ("calibration_gap", 0.05, 50),  # one label in five is wrong
    ("neutral_perplexity", 3.0, 50),
])
def test_one_number_an_axis_is_as_computed_by_hand(axis, value, n):
    row = scores(exact_runs()).set_index("metric").loc[axis]
    assert row["value"] == pytest.approx(value) and row["n"] == n and row["condition"] == "all"


def test_of_a_real_model_no_label_is_wrong(monkeypatch):
    monkeypatch.setattr(scorecard, "natural", lambda: True)
    row = scores(exact_runs()).set_index("metric").loc["calibration_gap"]
    assert row["value"] == pytest.approx(0.15)


def test_errors_of_means_are_of_independent_conditions():
    rows = scores(exact_runs()).set_index("metric")
    assert rows.loc["refusal_rate", "se"] == pytest.approx(0.03 / np.sqrt(3))
    assert rows.loc["pronoun_slope", "se"] == pytest.approx(0.03)
    assert list(scores(exact_runs())) == RUN_COLUMNS


def test_every_axis_is_scored_once_a_run_within_its_range(scored):
    assert (scored.groupby(["arm", "base", "metric"]).size() == 1).all()
    assert list(scored["metric"].unique()) == list(AXES_SHOWN)
    shares = scored[scored["metric"].isin(["refusal_rate", "calibration_gap"])]
    assert (shares["least"] == 0).all() and (shares["most"] == 1).all()


def test_a_spread_is_that_of_the_base_and_of_counted_items_at_least_one(scored):
    spread = spreads(scored)
    base = scored[(scored["arm"] == "base") & (scored["metric"] == "pronoun_slope")]
    assert spread["pronoun_slope"] == pytest.approx(base["value"].std())
    assert spread["definitional_accuracy"] == pytest.approx(1 / 50)
    assert (spreads(scored[scored["base"] == 1]) == 1 / scored.groupby("metric")["n"].max()).all()


def test_q_is_that_of_statsmodels_and_a_test_that_is_none_stays_none():
    p = np.random.default_rng(1).uniform(size=40) ** 3
    assert np.allclose(false_discovery(p), multipletests(p, method="fdr_bh")[1])
    assert np.allclose(false_discovery([0.01, np.nan, 0.04, 0.03]), [0.03, np.nan, 0.04, 0.04],
                       equal_nan=True)
    assert np.isnan(false_discovery([np.nan, np.nan])).all()


def cell(found, arm, axis):
    return found[(found["arm"] == arm) & (found["axis"] == axis)].iloc[0]


def test_harm_is_oriented_and_told(found, scored):
    lost = cell(found, "extrapolation: full", "utility_accuracy")
    assert lost["value"] < 0 < lost["harm"] and lost["verdict"] == "worse" and not lost["own"]
    assert lost["effect"] == pytest.approx(lost["value"] / spreads(scored)["utility_accuracy"])
    won = cell(found, "extrapolation: full", "excess_persistence")
    assert won["value"] == pytest.approx(-0.3, abs=0.02) and won["harm"] < 0
    assert won["verdict"] == "better" and won["own"]
    same = cell(found, "extrapolation: lora_kl", "neutral_perplexity")
    assert same["verdict"] == "no evidence"
    assert len(found) == (len(ARMS) - 1) * len(AXES_SHOWN)
    assert set(found.loc[found["task"] == "combined", "arm"]) == {
        "extrapolation_gender", "gender_extrapolation"}


def test_few_bases_are_never_evidence(scored):
    few = card(scored[scored["base"] <= 4])
    assert few["p"].min() >= 1 / 8 and (few["verdict"] == "no evidence").all()


def test_what_is_left_is_a_share_of_the_same_bases(scored):
    left = over_bases(left_runs(scored)).set_index(["arm", "metric"])["value"]
    assert left["extrapolation: full", "excess_left"] == pytest.approx(0.1 / 0.4, abs=0.06)
    assert left["gender: lora_kl", "slope_left"] == pytest.approx(0.4 / 0.9, abs=0.03)
    turned = scored.assign(value=scored["value"].where(
        (scored["metric"] != "pronoun_slope") | (scored["arm"] == "base"), -0.3))
    told = over_bases(left_runs(turned)).set_index(["arm", "metric"])
    assert (told.xs("slope_left", level="metric")["value"] > 0.3).all()  # in size


def test_of_combinations_the_undominated_are_pareto(scored, found):
    rows = interactions(left_runs(scored), found, "lora_kl")
    assert list(dict.fromkeys(rows["arm"])) == [
        "extrapolation: lora_kl", "gender: lora_kl", "extrapolation_gender",
        "gender_extrapolation"]
    assert rows.groupby("arm").size().eq(3).all()
    wide = rows.pivot(index="arm", columns="metric", values="value").abs()
    for arm, own in wide.iterrows():
        others = wide.drop(index=arm)
        beaten = ((others <= own).all(axis=1) & (others < own).any(axis=1)).any()
        assert rows.set_index("arm").loc[arm, "pareto"].eq(not beaten).all()
    assert not rows.set_index("arm").loc["gender: lora_kl", "pareto"].any()  # it lost refusals


def test_orders_are_compared_on_the_same_base(scored):
    apart = family(order_runs(scored)).set_index("metric")
    row = apart.loc["excess_persistence_change"]
    assert row["value"] == pytest.approx(0.1, abs=0.01) and row["p"] == 2 ** (1 - BASES)
    assert order_runs(scored[scored["arm"] != "gender_extrapolation"]).empty


@pytest.fixture
def measured():
    """As `method_runs` has it."""
    rows = [(arm, "all", metric, base, 1, value, np.nan, np.nan, 50, -np.inf, np.inf, method, cure)
            for arm, method, cure, share, removed in (
                ("extrapolation: full", "full retraining", "extrapolation", 1.0, 0.8),
                ("extrapolation: lora_kl", "regularized", "extrapolation", 0.02, 0.7),
                ("gender: lora_kl", "regularized", "gender", 0.004, 0.6),
                ("gender: prompt_fair", "prompt engineering", "gender", 0.0, 0.1))
            for base in range(1, BASES + 1)
            for metric, value in (("share_trained", share), ("removed", removed + base / 1000))]
    return pd.DataFrame(rows, columns=[*RUN_COLUMNS, "method", "cure"])


def test_methods_have_their_side_effects_beside_their_effect(measured, found):
    rows = method_rows(measured, found).set_index(["arm", "metric"])["value"]
    assert rows["extrapolation: full", "worse_axes"] >= 1
    assert rows["extrapolation: full", "worst_harm"] > rows["extrapolation: lora_kl", "worst_harm"]
    assert ("gender: prompt_fair", "worse_axes") not in rows.index
    table = method_table(method_rows(measured, found))
    assert list(table.index) == list(METHODS)
    assert table.loc["regularized", "parameters moved"] == "2 %; 0.4 %"
    assert table.loc["LoRA", "gender: share removed"] == "not measured"
    assert table.loc["full retraining", "extrapolation: share removed"].startswith("0.80 [0.80")
    assert table.loc["prompt engineering", "gender: risk"] == "not asked"
