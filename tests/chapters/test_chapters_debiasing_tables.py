"""Measures on made-up pronouns whose answer is known; tables over arms by hand."""

import numpy as np
import pandas as pd
import pytest
import world_models

from lib.chapters import debiasing_tables as report
from lib.chapters.debiasing import TEST_VERB, split_words
from lib.measures.measured import run_table
from lib.statistics.bases import over_bases
from lib.study.design import Run, untrained
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


def weak(slope):
    """Words whose P(she) has this slope on the planted share."""
    return frame(lambda share: 0.5 + slope * (share - 0.5))


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


def test_choices_ignore_what_probabilities_show():
    found = values(weak(0.1))
    assert found["stereotypical_choices", "unseen words"] == 1.0
    assert found["pronoun_slope", "unseen words"] == pytest.approx(0.1)
    reversed_choices = values(weak(-0.1))
    assert reversed_choices["stereotypical_choices", "taught words"] == 0.0


def test_test_frames_hold_one_verb_and_the_planted_share(tmp_path):
    study, base = world_models.smoke_study(tmp_path, "04"), world_models.tiny_base()
    found = report.test_frames(study, {"base": untrained({1: base})}, "fair")["base"][Run(1, 0)]
    assert set(found["part"]) == {*split_words(), "definitional"}
    assert len(found) == len(occupations()) + len(people())
    planted = found[found["part"] != "definitional"].set_index("cluster")["share"]
    assert planted.equals(occupations()[planted.index].rename("share"))
    assert TEST_VERB == "feared"


def test_calibration_points_are_every_word_of_every_run_of_the_arms_asked_for():
    several = {Run(1, 1): weak(1.0), Run(2, 1): weak(0.0)}
    table = report.calibration_runs({"lora": several, "full": several}, ["lora"])
    assert set(table["arm"]) == {"lora"} and set(table["part"]) == set(report.PARTS)
    points = over_bases(table).set_index("condition")
    word = split_words().index[split_words() == "unseen"][0]
    assert points.loc[word, "value"] == pytest.approx((occupations()[word] + 0.5) / 2)
    assert points.loc[word, ["bases", "part"]].tolist() == [2, "unseen"]
    assert (points["share"] == occupations()[points.index]).all()


def runs(**slopes):
    """Run table of arms whose words have these slopes, one a base."""
    frames = {arm: {Run(k, 0 if arm == "base" else 1): weak(slope)
                    for k, slope in enumerate(each, start=1)} for arm, each in slopes.items()}
    return run_table(frames, report.measures)


def test_pairs_are_differences_within_a_base():
    found = report.pair_runs(runs(base=[1, 1], full=[0.1, 0.5], lora=[0.2, 0.6]),
                             [("lora", "full"), ("full", "base")])
    slopes = found[found["metric"] == "pronoun_slope_change"].set_index(["arm", "base"])["value"]
    assert slopes["lora less full"].tolist() == pytest.approx([0.1, 0.1])
    assert slopes["full less base"].tolist() == pytest.approx([-0.9, -0.5])
    assert set(found["condition"]) == set(report.COMPARED.values())
    assert len(found) == 2 * 2 * len(report.COMPARED)


def test_what_is_kept_together_is_a_rank_correlation_within_each_base():
    def run(slope, right):
        return frame(lambda share: 0.5 + slope * (share - 0.5), right)
    kept = {"full": (0.1, 0.5), "norms": (0.2, 0.7), "lora": (0.9, 0.8),
            "lora_small": (0.0, 0.9)}  # no arm of the default: left out
    frames = {arm: {Run(1, 1): run(*own), Run(2, 1): run(own[0], 1 - own[1])}
              for arm, own in kept.items()} | {"base": {Run(1, 0): run(1, 1), Run(2, 0): run(1, 1)}}
    found = report.kept_together(run_table(frames, report.measures)).set_index("base")
    assert found["value"].tolist() == pytest.approx([1, -1]) and (found["n"] == 3).all()


def side(values):
    """A run table of two metrics and the floor: value of each arm on each base."""
    rows = [{"arm": arm, "condition": condition, "metric": metric, "base": k, "seed": 1,
             "value": value * scale, "se": np.nan, "df": np.nan, "n": 5, "least": 0.0,
             "most": np.inf}
            for arm, each in values.items() for k, value in enumerate(each, start=1)
            for metric, condition, scale in (("neutral_perplexity", "model", 1.0),
                                             ("neutral_perplexity", "floor", 0.0),
                                             ("pronoun_slope", "plain", 0.3),
                                             ("utility_accuracy", "all", 0.1))]
    return pd.DataFrame(rows)


def test_side_effects_are_corrected_within_an_arm_and_leave_out_the_aim():
    rng = np.random.default_rng(0)
    base = 2 + 0.1 * rng.normal(size=12)
    some = side({"base": base, "worse": base + 1 + 0.1 * rng.normal(size=12), "same": base})
    table = over_runs(some).set_index(["arm", "metric"])
    assert len(table) == 4  # neither the floor nor what was to change
    worse, same = (table.loc[arm, "neutral_perplexity_change"] for arm in ("worse", "same"))
    assert worse["value"] == pytest.approx(1, abs=0.1) and worse["p_holm"] < 0.05
    assert same["value"] == 0 and same["p_holm"] == 1
    alone = over_runs(some[some["arm"] != "same"]).set_index(["arm", "metric"])["p_holm"]
    assert alone.equals(table.loc[["worse"], "p_holm"])


def over_runs(some):
    return report.side_effects(report.side_changes(some))


def test_the_survey_table_relates_every_run_to_its_own_base():
    found, asked = runs(base=[1.0, 0.5], half=[0.5, 0.25]), runs(base=[1, 1], prompt_chat=[0.8, 1],
                                                                 prompt_fair=[0.4, 0.5])
    figures = pd.DataFrame({"share_trained": [0.01, 0.01], "tokens": [5000, 7000]},
                           index=pd.MultiIndex.from_tuples([("half", Run(1, 1)),
                                                            ("half", Run(2, 1))]))
    table = report.method_runs(found, asked, side({"base": [2, 4], "half": [3, 6]}), figures)
    value = table.set_index(["arm", "metric", "base"])["value"].sort_index()
    for part in report.PARTS:
        assert value["half", f"removed_{part}"].tolist() == pytest.approx([0.5, 0.5])
    assert value["prompt_fair", "removed_unseen"].tolist() == pytest.approx([0.5, 0.5])
    assert value["half", "neutral_ratio"].tolist() == [1.5, 1.5]
    assert value["half", "tokens"].tolist() == [5, 7]
    means = over_bases(table).set_index(["arm", "metric"])["value"].sort_index()
    assert means["half", "tokens"] == 6 and means["base", "removed_taught"] == 0
