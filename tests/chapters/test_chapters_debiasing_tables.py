"""Measures on made-up pronouns whose answer is known; tables over arms by hand."""

import numpy as np
import pandas as pd
import pytest
import world_models

from lib.chapters import debiasing_tables as methods
from lib.chapters import debiasing_tables as report
from lib.chapters.debiasing import TEST_VERB, split_words
from lib.world.truth import occupations, people


def frame(p_she, right=0.9):
    """One row a word: P(she) of occupations as a function of the share, and of definitions."""
    share, parts = occupations(), split_words()
    words = pd.DataFrame({"cluster": share.index, "share": share.to_numpy()})
    words = words.assign(part=words["cluster"].map(parts), p_she=p_she(words["share"]))
    she = (people() == "she").to_numpy()
    defined = pd.DataFrame({"cluster": people().index, "share": she.astype(float),
                            "part": "definitional", "p_she": np.where(she, right, 1 - right)})
    both = pd.concat([words, defined], ignore_index=True)
    kind = np.where(both["part"] == "definitional", "definitional", "occupation")
    return both.assign(kind=kind, item=both["cluster"] + ":4")


def values(some):
    return report.measures(some).set_index(["metric", "condition"])["value"].to_dict()


def test_a_model_that_matches_the_world():
    found = values(frame(lambda share: share))
    for part in ("taught words", "unseen words"):
        assert found["pronoun_slope", part] == pytest.approx(1)
        assert found["gap_to_world", part] == pytest.approx(0)
    assert found["definitional_probability", "definitional words"] == pytest.approx(0.9)
    assert found["definitional_accuracy", "definitional words"] == 1.0


def test_a_model_at_parity_that_forgot_its_mother():
    found = values(frame(lambda share: 0.5 + 0.01 * (share - 0.5), right=0.4))
    assert found["pronoun_slope", "taught words"] == pytest.approx(0.01)
    assert found["gap_to_parity", "unseen words"] < 0.005
    assert found["definitional_accuracy", "definitional words"] == 0.0


def test_log_odds_that_are_a_line_have_its_slope_and_explain_everything():
    found = values(frame(lambda share: 1 / (1 + np.exp(-(3 * share - 1)))))
    assert found["log_odds_slope", "taught words"] == pytest.approx(3)
    assert found["r_squared", "taught words"] == pytest.approx(1)


def test_test_frame_holds_one_verb_and_the_planted_share(tmp_path):
    study = world_models.smoke_study(tmp_path, "04")
    found = report.test_frame(study, world_models.tiny_base(), "fair")
    assert set(found["part"]) == {"taught", "unseen", "definitional"}
    assert len(found) == len(occupations()) + len(people())
    planted = found[found["part"] != "definitional"].set_index("cluster")["share"]
    assert planted.equals(occupations()[planted.index].rename("share"))
    assert TEST_VERB == "feared"


def test_each_arm_gets_the_frames_of_its_own_models(tmp_path):
    study, base = world_models.smoke_study(tmp_path, "04"), world_models.tiny_base()
    found = report.test_frames(study, {"one": [base], "twice": [base, base]}, "fair")
    assert {arm: len(frames) for arm, frames in found.items()} == {"one": 1, "twice": 2}
    pd.testing.assert_frame_equal(found["twice"][1], report.test_frame(study, base, "fair"))


def test_calibration_points_are_means_over_seeds():
    several = [frame(lambda share: share), frame(lambda share: share * 0 + 0.5)]
    points = report.calibration_rows({"lora": several}).set_index("condition")["value"]
    assert points["nurse"] == pytest.approx((occupations()["nurse"] + 0.5) / 2)


def test_pairs_count_choices_and_not_probabilities():
    arms = {"base": frame(lambda share: share),
            "weak": frame(lambda share: 0.5 + 0.4 * (share - 0.5)),
            "gone": frame(lambda share: 0.4 + 0 * share)}
    rows = methods.pair_rows(arms).set_index(["condition", "arm"])
    assert rows.loc[("base", "weak"), "value"] == 0.0  # not one choice has changed
    female = (occupations() > 0.5).mean()
    assert rows.loc[("base", "gone"), "value"] == pytest.approx(-female)
    assert (rows["p_holm"] >= rows["p_exact"] - 1e-12).all()
    inside = rows.loc[("base", "gone")]
    assert inside["low"] < inside["value"] < inside["high"]


def test_the_survey_table_relates_every_arm_to_the_right_reference():
    made = {"base": frame(lambda share: share), "half": frame(lambda share: 0.5 * share + 0.25)}
    found = pd.concat([report.arm_rows([f], arm) for arm, f in made.items()])
    asked = pd.concat([report.arm_rows([made["base"]], "prompt_chat"),
                       report.arm_rows([made["half"]], "prompt_fair")])
    side = pd.DataFrame({"arm": ["base", "half"], "condition": "model",
                         "metric": "neutral_perplexity", "value": [2.0, 3.0], "low": [1.8, 2.8],
                         "high": [2.2, 3.2], "n": 5, "seeds": 1})
    figures = pd.DataFrame({"share_trained": [0.01], "tokens": [5000]},
                           index=pd.MultiIndex.from_tuples([("half", 1)]))
    rows = methods.method_rows(found, asked, side, figures).set_index(["arm", "metric"])["value"]
    assert rows["half", "removed_taught"] == pytest.approx(0.5)
    assert rows["prompt_fair", "removed_unseen"] == pytest.approx(0.5)
    assert rows["half", "neutral_ratio"] == 1.5 and rows["half", "tokens"] == 5.0
    assert rows["base", "removed_taught"] == pytest.approx(0)
