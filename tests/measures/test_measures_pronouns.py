"""The gender axis: slopes and accuracies against planted truth and statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from lib.measures.pronouns import AXIS, definitional_accuracy, pronoun_slope, pronouns
from lib.world.truth import occupations, people


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


def test_the_axis_asks_in_running_text(model, profile):
    frame = AXIS.measured(model, AXIS.items(profile), 1)
    direct = pronouns(model, "plain")
    assert set(frame["benchmark"]) == {"plain"} and set(frame["axis"]) == {"gender"}
    np.testing.assert_allclose(frame["p_she"], direct["p_she"])


def test_each_way_of_asking_is_a_condition():
    plain = planted().assign(benchmark="plain")
    fair = plain.assign(benchmark="fair", p_she=0.5 + 0.5 * (plain["share"] - 0.5))
    found = AXIS.summarise(pd.concat([plain, fair]))
    assert [(m.name, m.condition) for m in found] == [
        (metric, prompt) for prompt in ("plain", "fair")
        for metric in ("pronoun_slope", "definitional_accuracy")
    ]
    assert [m.value for m in found] == pytest.approx([1, 1, 0.5, 1])
