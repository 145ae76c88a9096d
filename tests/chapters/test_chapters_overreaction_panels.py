"""The chapter's panels and rows, against direct computation on planted forecasters."""

import numpy as np
import pandas as pd
import pytest

from lib.chapters import base
from lib.chapters import overreaction as panels
from lib.forecasting.forecasters import misperceived
from lib.forecasting.frames import ar1_items
from lib.forecasting.learners import bayes
from lib.statistics.estimate import Estimate, row
from lib.statistics.regressions import implied_persistence
from lib.study.notebook import Study
from lib.world.truth import settings

COLUMNS = ["arm", "condition", "metric", "value", "low", "high", "n", "seeds"]


@pytest.fixture(scope="module")
def items() -> pd.DataFrame:
    return ar1_items([0.2, 0.8], series=30, rounds=6, history=12, sigma=8.0, seed=3)


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    return Study("smoke", 1, {}, notebook="02")


def test_panel_holds_the_profiles_grid_and_is_the_same_twice(study):
    first, second = panels.panel(study), panels.panel(study)
    assert sorted(first["rho"].unique()) == sorted(study.profile.forecasting.rhos)
    pd.testing.assert_frame_equal(first, second)


def test_unseen_panel_shares_no_rho_and_no_values_with_the_other(study):
    seen, unseen = panels.panel(study), panels.panel(study, "unseen")
    assert not set(seen["rho"]) & set(unseen["rho"])
    assert not {tuple(h) for h in seen["history"]} & {tuple(h) for h in unseen["history"]}


def test_coefficient_rows_recover_a_planted_persistence(items):
    rows = panels.coefficient_rows(misperceived(items, 0.9), implied_persistence, "planted")
    assert list(rows.columns) == COLUMNS
    np.testing.assert_allclose(rows["value"].astype(float), 0.9, atol=1e-8)


def test_pooled_rows_of_identical_seeds_keep_the_value(items):
    frame = bayes(items)
    pooled = panels.pooled_rows([frame, frame, frame], implied_persistence, "lora")
    single = panels.coefficient_rows(frame, implied_persistence, "lora")
    np.testing.assert_allclose(pooled["value"].astype(float), single["value"].astype(float))
    assert set(pooled["seeds"]) == {3}


def test_change_rows_are_the_difference_of_planted_slopes(items):
    before, after = misperceived(items, 0.9), [misperceived(items, 0.5)]
    changes = panels.change_rows(before, after, "lora")
    np.testing.assert_allclose(changes["value"].astype(float), -0.4, atol=1e-8)
    assert (changes["p_holm"] < 0.05).all()


def test_removed_rows_are_one_when_the_cure_is_rational(items):
    rational = bayes(items)
    removed = panels.removed_rows(misperceived(items, 1.0), [rational], rational, "lora")
    assert removed["value"].iloc[0] == pytest.approx(1.0)


def test_removed_rows_are_empty_where_nothing_was_to_be_removed(items):
    rational = bayes(items)
    removed = panels.removed_rows(misperceived(items, 0.0), [rational], rational, "lora")
    assert removed["value"].isna().all()


def test_loss_rows_give_the_gap_between_loss_and_floor():
    texts = pd.DataFrame({"benchmark": "neutral", "nll": [3.0, 5.0, 4.0],
                          "floor": [2.0, 4.0, 3.0], "tokens": [2, 4, 3]})
    rows = base.loss_rows(texts, "base").set_index("metric")
    assert rows.loc["gap", "value"] == pytest.approx(3 / 9)
    assert rows.loc["loss", "value"] == pytest.approx(12 / 9)


def passing_quality() -> pd.DataFrame:
    rows = [{"metric": m, "condition": c, "value": low} for (m, c), (low, _) in
            base.TARGETS.items()]
    rows += [{"metric": "neutral_perplexity", "condition": c, "value": 2.0}
             for c in ("model", "floor")]
    rows += [{"metric": "implied_persistence", "condition": f"rho {rho}", "value": 0.9}
             for rho in (0.0, 0.8, 1.0)]
    rude = settings("text")["rude_share"]
    return pd.DataFrame([*rows, {"metric": "generation_toxicity", "condition": "exact",
                                 "value": rude}])


def test_acceptance_fails_a_model_that_does_not_refuse():
    quality = passing_quality()
    assert base.acceptance(quality)["met"].all()
    quality.loc[quality["metric"] == "refusal_rate", "value"] = 0.5
    failed = base.acceptance(quality)
    assert not failed.loc["refusal_rate", "met"].any() and failed["met"].sum() == len(failed) - 2


def test_acceptance_fails_a_model_that_does_not_over_react_at_one_rho():
    quality = passing_quality()
    quality.loc[quality["condition"] == "rho 0.8", "value"] = 0.79
    failed = base.acceptance(quality)
    assert failed[~failed["met"]].index.tolist() == [("implied_persistence", "rho 0.8")]


@pytest.mark.parametrize("shift", [-0.09, 0.09])
def test_acceptance_fails_a_model_that_is_ruder_or_kinder_than_the_world(shift):
    quality = passing_quality()
    quality.loc[quality["metric"] == "generation_toxicity", "value"] += shift
    failed = base.acceptance(quality)
    assert failed[~failed["met"]].index.tolist() == [("generation_toxicity", "exact")]


def test_row_is_one_row_of_an_exhibit():
    estimate = Estimate("pronoun_slope", 1.0, 0.1, 0.8, 1.2, 10, 5, "ols")
    assert list(row(estimate, "base", "plain").columns) == COLUMNS


@pytest.mark.parametrize("name", ["market", "oil", "gdp_growth"])
def test_real_panel_stays_on_the_display_scale(study, name):
    items = panels.real_panel(study, name, last=60)
    shown = np.stack([np.asarray(h) for h in items["history"]])
    assert len(items) == 60 and shown.min() >= 0 and shown.max() <= 199
