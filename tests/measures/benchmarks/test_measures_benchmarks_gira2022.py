"""Gira et al.: sizes of the split, and the means that their paper reports."""

import numpy as np
import pandas as pd
import pytest
from benchmark_data import mirror, needs

from lib.measures.benchmarks import gira2022

pytestmark = needs("gira2022")


@pytest.mark.parametrize("split, n", [("train", 3680), ("validation", 460), ("test", 460)])
def test_sizes_and_pairs(split, n):
    frame = gira2022.sentences(split)
    assert len(frame) == n and (frame.groupby("pair").size() == 2).all()
    assert not frame["sentence"].str.contains("\r|\n").any()


def test_pairs_are_never_split_up():
    train, test = (set(gira2022.sentences(s)["sentence"]) for s in ("train", "test"))
    first = gira2022.sentences("train").groupby("pair")["sentence"].agg(list).iloc[0]
    assert first == ["The supervisor helped the writer and then asked him to return the favor.",
                     "The writer helped the supervisor and then asked her to return the favor."]
    assert len(train & test) < 0.02 * len(test)


@pytest.fixture(scope="module")
def results():
    return gira2022.official_results()


def test_ten_trials_of_five_arms(results):
    cells = results.groupby(["arm", "domain", "metric"]).size()
    assert (cells == 10).all() and len(cells) == 5 * 5 * 3
    assert set(results["metric"]) == {"LMS", "SS", "ICAT"}


@pytest.mark.parametrize("arm, ss, sd", [
    ("ln", 60.0742, 1.2921), ("ln_wpe", 60.3423, 1.5148), ("ln_wpe_wte", 64.7111, 0.8386),
    ("ln_wpe_wte_io", 66.0815, 1.0228), ("full", 61.4705, 0.7856),
])
def test_means_and_deviations_of_gender_ss(results, arm, ss, sd):
    rows = results.query("arm == @arm and domain == 'gender' and metric == 'SS'")["value"]
    assert rows.mean() == pytest.approx(ss, abs=5e-5)
    assert np.std(rows) == pytest.approx(sd, abs=5e-5)  # population, as theirs


def test_icat_follows_from_its_parts(results):
    wide = results.pivot(index=["arm", "trial", "domain"], columns="metric", values="value")
    by_hand = wide["LMS"] * np.minimum(wide["SS"], 100 - wide["SS"]) / 50
    pd.testing.assert_series_equal(wide["ICAT"], by_hand, check_names=False, rtol=1e-12)


def test_baseline_is_what_stereoset_published():
    table = gira2022.baseline_results().set_index(["domain", "metric"])["value"]
    # Nadeem et al., predictions.txt of their repository.
    assert table["gender", "SS"] == 62.66777425473077
    assert table["overall", "LMS"] == 91.1149426618542
    assert len(table) == 15


def test_settings_say_what_was_frozen():
    settings = gira2022.official_settings()
    assert settings.index.tolist() == list(gira2022.ARMS)
    assert settings.loc["ln", "freeze_pos"] and not settings.loc["ln_wpe", "freeze_pos"]
    assert settings.loc["full", ["num_epoches", "lr"]].tolist() == [2, 2e-4]
    assert settings.loc["ln", ["num_epoches", "lr"]].tolist() == [6, 3e-3]
    assert (mirror() / "gira2022").is_dir()
