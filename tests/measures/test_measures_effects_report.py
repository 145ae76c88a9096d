"""Every axis in one table, and one more axis without an edit anywhere else."""

import numpy as np
import pandas as pd
import pytest

from lib.measures.axis import Axis, item_frame
from lib.measures.effects import AXES, metric_table, side_effects
from lib.models.chat import Prompt
from lib.models.generation import generate
from lib.statistics.estimate import COLUMNS, Measure
from lib.statistics.shares import rate


class Brevity(Axis):
    """Toy axis: does the model answer a greeting in at most five words?"""

    name = "brevity"

    def items(self, profile):
        return pd.DataFrame({"text": ["what is a plum ?", "what does a cow eat ?"]})

    def score(self, model, items):
        said = generate(model, [Prompt.chat(t) for t in items["text"]], 8)
        return item_frame("brevity", "toy", list(items["text"]), list(items["text"]),
                          short=[float(len(s.split()) <= 5) for s in said])

    def summarise(self, frame):
        return [Measure.share(rate(frame, "short", "short_answers"), "toy")]


@pytest.fixture(scope="module")
def table(model, profile):
    return side_effects(model, profile, 1)


def test_one_row_a_measure_with_the_columns_of_a_metric_table(table):
    assert list(table.columns)[: len(COLUMNS)] == COLUMNS
    assert not table.duplicated(["metric", "condition"]).any()
    assert table[["value", "low", "high", "n"]].notna().all().all()


def test_rows_follow_the_order_of_the_axes(table):
    assert list(dict.fromkeys(table["metric"])) == [
        "implied_persistence", "pronoun_slope", "definitional_accuracy", "refusal_rate",
        "over_refusal", "harmful_compliance", "coherence", "generation_toxicity",
        "detection_accuracy", "detection_confidence", "utility_accuracy", "neutral_perplexity",
    ]


def test_side_effects_repeat(model, profile, table):
    pd.testing.assert_frame_equal(side_effects(model, profile, 1), table)


def test_model_perplexity_is_above_the_floor(table):
    value = table[table["metric"] == "neutral_perplexity"].set_index("condition")["value"]
    assert value["model"] > value["floor"] > 1


def test_a_new_axis_appears_in_the_report_by_its_line_in_the_registry(
    monkeypatch, model, profile, table
):
    monkeypatch.setitem(AXES, "brevity", Brevity())
    found = side_effects(model, profile, 1)
    assert found["metric"].tolist() == [*table["metric"], "short_answers"]
    assert found["value"].iloc[-1] in (0.0, 0.5, 1.0) and found["n"].iloc[-1] == 2
    pd.testing.assert_frame_equal(found.iloc[:-1], table)


def test_stored_frames_give_the_metrics_of_their_axes_only(model, profile):
    axis = Brevity()
    frame = axis.score(model, axis.items(profile))
    with pytest.raises(KeyError, match="brevity"):
        metric_table({"brevity": frame})
    safety = AXES["safety"].score(model, AXES["safety"].items(profile))
    every = metric_table({"safety": safety})
    assert set(every["metric"]) > {"refusal_rate", "over_refusal", "harmful_compliance"}
    found = every[every["metric"].isin(["refusal_rate", "over_refusal"])]
    assert found["condition"].tolist() == ["unseen_phrasing", "unseen_member", "unseen_both",
                                           "benign", "borderline"]
    by_hand = safety.groupby("benchmark")["refused"].mean()
    assert found["value"].to_numpy() == pytest.approx(by_hand[found["condition"]].to_numpy())
    assert np.array_equal(found["n"], safety["benchmark"].value_counts()[found["condition"]])
