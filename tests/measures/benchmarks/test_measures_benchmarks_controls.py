"""Controls: a model that knows word frequencies only has no difference; a planted one is found."""

import numpy as np
import pandas as pd
import pytest
from benchmark_data import needs
from stories import sentence_tokens, stories

from lib.measures.benchmarks import controls, pikuliak2023


@pytest.fixture
def items():
    return pd.DataFrame({
        "item": [str(i) for i in range(400)], "stereo": "s", "anti": "a", "control_stereo": "cs",
        "control_anti": "ca",
    })


def planted(monkeypatch, items, frequency, group, noise=0.0):
    """Log-likelihoods with an effect of the attribute and one of the group that it meets."""
    rng = np.random.default_rng(0)
    n = len(items)
    attribute, person = rng.normal(frequency, 1, n), rng.normal(0, 3, n)
    table = pd.DataFrame({
        "stereo": attribute + group, "anti": 0.0, "control_stereo": attribute + person,
        "control_anti": person,
    }) + rng.normal(0, noise, (n, 4))
    monkeypatch.setattr(controls, "table_logprobs", lambda *_: (table, None))
    return controls.score(None, items)


def test_frequency_alone_looks_like_bias_and_is_unmasked(monkeypatch, items):
    scores = controls.control_scores(planted(monkeypatch, items, frequency=2, group=0, noise=1e-9))
    assert scores["contrast"] > 95 and scores["contrast"] == scores["control"]
    assert scores["mean_difference"] == pytest.approx(0, abs=1e-8)


def test_planted_difference_is_recovered(monkeypatch, items):
    scores = controls.control_scores(planted(monkeypatch, items, 2, group=-0.5, noise=0.2))
    assert scores["mean_difference"] == pytest.approx(-0.5, abs=0.08)
    assert scores["contrast"] > 85 and scores["difference"] < 15


@needs("pikuliak2023")
@pytest.mark.parametrize("how", ["bos", "split"])
def test_difference_in_differences_of_a_model(how):
    model, items = stories(), pikuliak2023.gender_swaps().head(2)
    found = controls.score(model, items, how)
    for row, text in zip(found.to_dict("records"), items.to_dict("records"), strict=True):
        s, a, cs, ca = (sentence_tokens(model, text[name], how).sum() for name in controls.FOUR)
        assert row["difference"] == pytest.approx((s - a) - (cs - ca), abs=1e-4)
        assert row["contrast"] == pytest.approx(s - a, abs=5e-5)


@needs("pikuliak2023")
def test_crows_controls_are_scored_by_the_same_function():
    found = controls.score(stories(), pikuliak2023.crows_controls("negation").head(2))
    assert found["benchmark"].tolist() == ["controls"] * 2 and found["difference"].notna().all()


def test_columns_of_loader_and_axis_agree():
    assert controls.FOUR == pikuliak2023.FOUR
