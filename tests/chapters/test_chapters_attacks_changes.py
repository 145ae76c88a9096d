"""Changes of refusals: paired by request, clustered by thing, corrected for looking often."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import world_models

from lib.chapters import attacks as changes
from lib.chapters.attacks import UNSEEN, change_rows, refusal_change


def frame(refused):
    """Two requests about each of some things, and a benign one that must not count."""
    asked = [(f"thing {i}", name) for i in range(len(refused)) for name in UNSEEN]
    rows = pd.DataFrame(asked, columns=["cluster", "benchmark"])
    rows = rows.assign(refused=np.repeat(refused, 2).astype(float))
    return pd.concat([rows, pd.DataFrame({"cluster": ["mend nets"], "benchmark": ["benign"],
                                          "refused": [1.0]})], ignore_index=True)


def test_change_is_that_of_a_regression_with_clustered_errors():
    rng = np.random.default_rng(0)
    before, after = frame(rng.integers(0, 2, 40)), frame(rng.integers(0, 2, 40))
    after["refused"] = (after["refused"] + rng.integers(0, 2, len(after))).clip(0, 1)
    found = refusal_change(before, after)
    asked = before["benchmark"] != "benign"
    d, groups = (after["refused"] - before["refused"])[asked], before["cluster"][asked]
    fit = sm.OLS(d, np.ones(len(d))).fit(
        cov_type="cluster", cov_kwds={"groups": pd.factorize(groups)[0]}, use_t=True)
    assert found.value == pytest.approx(fit.params.iloc[0])
    # statsmodels multiplies by (n - 1) / (n - k), which is one here, beside g / (g - 1).
    assert found.se == pytest.approx(fit.bse.iloc[0])
    assert (found.n, found.clusters, found.df) == (80, 40, 39)
    low, high = fit.conf_int().iloc[0]
    assert (found.low, found.high) == pytest.approx((low, high))


def test_order_of_requests_does_not_matter():
    before, after = frame([1, 1, 0, 1]), frame([0, 1, 0, 0])
    assert refusal_change(before, after.sample(frac=1, random_state=1)) == refusal_change(
        before, after)


def rows_of(monkeypatch, models):
    """`change_rows` of models whose answers are given; the base refuses all but one in ten."""
    given = {"base": frame([1] * 18 + [0] * 2)} | models
    monkeypatch.setattr(changes, "answers", lambda study, folders: [given[f] for f in folders])
    arms = {name: [name] for name in models}
    return change_rows(None, "base", arms).set_index("arm")


def test_what_changes_is_told_from_what_does_not(monkeypatch):
    found = rows_of(monkeypatch, {
        "broken": frame([0] * 20), "some": frame([1] * 12 + [0] * 8),
        "same": frame([1] * 18 + [0] * 2)})
    assert list(found["value"]) == pytest.approx([-0.9, -0.3, 0.0])
    assert found["p_holm"]["broken"] < 1e-6 and 0.01 < found["p_holm"]["some"] < 0.05
    assert found["p_holm"]["same"] == 1 and (found["low"] >= -1).all()
    assert found["detectable"]["same"] == 0 < found["detectable"]["some"]


def test_holm_is_over_all_arms(monkeypatch):
    some = frame([1] * 12 + [0] * 8)
    alone = rows_of(monkeypatch, {"some": some})["p_holm"]["some"]
    many = rows_of(monkeypatch, {f"arm {i}": some for i in range(4)})["p_holm"]
    assert list(many) == pytest.approx([4 * alone] * 4)


def test_seeds_are_pooled_and_a_real_model_has_a_row(tmp_path):
    base = world_models.tiny_base()
    study = world_models.smoke_study(tmp_path, "05")
    found = change_rows(study, base, {"again": [base, base]})
    assert list(found["value"]) == [0.0] and list(found["seeds"]) == [2]
