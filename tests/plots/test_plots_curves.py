"""What a reader would check on a page: every arm, its interval, the scale's labels."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from lib.plots import curves
from lib.plots.style import LABELS

pytestmark = pytest.mark.usefixtures("page_style")


@pytest.fixture
def doses():
    rows = [(arm, metric, dose, 0.1 * dose, 0.1 * dose - 0.05, 0.1 * dose + 0.05)
            for arm in ("full", "lora") for metric in ("refusal_rate", "coherence")
            for dose in (0.0, 1.0, 3.0, 10.0)]
    return pd.DataFrame(rows, columns=["arm", "metric", "dose", "value", "low", "high"])


def test_curves_have_a_panel_a_metric_and_a_line_an_arm(doses):
    figure = curves.curves(doses, "dose", "Examples", log=True)
    assert [a.get_title(loc="left") for a in figure.axes] == [
        LABELS["refusal_rate"], LABELS["coherence"]]
    for axes in figure.axes:
        assert len(axes.containers) == 2 and axes.get_xlabel() == "Examples"
        assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "1", "3", "10"]
        for line in axes.containers:  # beside each other, or they would hide each other
            np.testing.assert_allclose(line[0].get_xdata(), [0, 1, 3, 10], rtol=0.05, atol=0.05)
        assert (axes.containers[0][0].get_xdata() < axes.containers[1][0].get_xdata()).all()


@pytest.mark.parametrize("step", [1, 2])
def test_labels_of_doses_do_not_touch(doses, step):
    """A geometric ladder of six step sizes and zero, and every other one of them."""
    sizes = [0.00075, 0.0015, 0.003, 0.0075, 0.015, 0.03][::step]
    rows = [doses.iloc[:1].assign(dose=dose) for dose in (0.0, *sizes)]
    figure = curves.curves(pd.concat(rows), "dose", "Step size", log=True)
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert len(boxes) == 1 + len(sizes)
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_curves_join_points_in_the_order_of_the_dose(doses):
    shuffled = doses.sample(frac=1, random_state=0)
    line = curves.curves(shuffled, "dose", "Examples").axes[0].containers[0][0]
    np.testing.assert_allclose(line.get_xdata(), [0, 1, 3, 10], atol=0.1)


@pytest.mark.parametrize("scale, whole", [(1, True), (0.1, False)])
def test_words_and_steps_are_counted_in_whole_numbers(doses, scale, whole):
    few = doses[doses["dose"] < 4]
    figure = curves.curves(few.assign(dose=few["dose"] * scale), "dose", "Word")
    ticks = figure.axes[0].get_xticks()
    assert all(tick % 1 == 0 for tick in ticks) == whole


def test_frontier_names_each_arm_that_has_both_metrics():
    rows = [("full", "x", 0.9, 0.8, 1.0), ("full", "y", 0.2, 0.1, 0.3),
            ("lora", "x", 0.5, 0.4, 0.6)]
    frame = pd.DataFrame(rows, columns=["arm", "metric", "value", "low", "high"])
    figure = curves.frontier(frame, "x", "y", "bias", "ability", "best: up")
    (axes,) = figure.axes
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["full"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("bias", "ability")
    assert axes.get_title(loc="left") == "best: up"


def crowd() -> pd.DataFrame:
    arms = {"full": (1.0, 0.5), "lora": (1.01, 0.5), "full_kl": (1.0, 0.505), "base": (14.0, 0.9)}
    rows = [(arm, metric, value, value, value)
            for arm, both in arms.items() for metric, value in zip("xy", both, strict=True)]
    return pd.DataFrame(rows, columns=["arm", "metric", "value", "low", "high"])


def test_calibration_fills_taught_points_only():
    frame = pd.DataFrame({"arm": "base", "value": [0.2, 0.8], "share": [0.1, 0.9],
                          "part": ["taught", "unseen"]})
    axes = curves.calibration(frame, "true", "found").axes[0]
    faces = {line.get_xdata()[0]: line.get_markerfacecolor()
             for line in axes.lines[2:] if len(line.get_xdata())}
    assert faces[0.9] == "white" and faces[0.1] != "white"


def test_series_grid_keeps_titles_values_and_no_empty_panel():
    index = pd.period_range("2000-01", periods=30, freq="M")
    names = ["one\n(percent)", "two", "three", "four"]
    series = {name: pd.Series(np.arange(30.0) * k, index) for k, name in enumerate(names)}
    figure = curves.series_grid(series)
    assert [a.get_title(loc="left") for a in figure.axes] == names
    assert np.isclose(figure.axes[0].lines[0].get_xdata()[12], 2001.0)
    assert np.allclose(figure.axes[2].lines[0].get_ydata(), 2.0 * np.arange(30))


def test_histories_show_the_window_the_outcome_and_each_forecast():
    item = {"series": "s", "t": 4, "rho": 0.5, "horizon": 1, "history": [1, 2, 3, 4], "outcome": 9}
    frame = pd.DataFrame([item | {"arm": "bayes", "forecast": 5.0},
                          item | {"arm": "noise", "forecast": 7.0}])
    figure = curves.histories(frame)
    (axes,) = figure.axes
    assert [line.get_ydata()[0] for line in axes.lines] == [1, 9, 5, 7]
    assert list(axes.lines[0].get_xdata()) == [-3, -2, -1, 0]
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["shown", "outcome", "bayes", "noise"]


def test_distribution_marks_the_mean():
    chances = np.zeros(200)
    chances[[90, 110]] = 0.25, 0.75
    axes = curves.distribution(chances, x=120, rational=100).axes[0]
    assert [line.get_xdata()[0] for line in axes.lines] == [105.0, 120, 100]


def test_scatter_truth_keeps_the_pairs():
    axes = curves.scatter_truth([0.1, 0.9], [0.2, 0.7], "true", "found").axes[0]
    assert list(axes.lines[1].get_ydata()) == [0.2, 0.7] and axes.get_xlabel() == "true"


def ticks(axes):
    return ([t.get_text() for t in axes.get_xticklabels()],
            [t.get_text() for t in axes.get_yticklabels()])


def test_weights_have_common_colours_with_one_in_the_middle_and_gaps_are_no_cells():
    rows = [(kind, "token_weight", step, word, 0.5 * word)
            for kind in ("explicit", "benign") for step in range(1, 41) for word in (1, 2, 3)
            if (step, word) != (2, 3)]
    frame = pd.DataFrame(rows, columns=["condition", "metric", "step", "word", "value"])
    figure = curves.weight_maps(frame, "step", "word", "Step", "Word")
    one, two, bar = figure.axes
    assert one.get_title(loc="left") == "explicit" and two.get_title(loc="left") == "benign"
    assert bar.get_ylabel().startswith(LABELS["token_weight"])
    mesh = one.collections[0]
    assert mesh.get_clim() == two.collections[0].get_clim() == (0, 2)
    np.testing.assert_allclose(mesh.cmap(mesh.norm(1.0))[:3], 1.0, atol=0.05)  # white
    cells = mesh.get_array().reshape(3, 40)
    assert cells.mask.sum() == 1 and cells.mask[2, 1] and cells[1, 0] == 1.0
    steps, words = ticks(one)
    assert words == ["1", "2", "3"] and steps[:2] == ["1", "5"] and len(steps) == curves.TICKS


def frontier_of(ratios, **more):
    """A frontier by arm: loss ratio (wide .04), and refusals by place."""
    rows = [(arm, metric, value, value - 0.02, value + 0.02)
            for place, (arm, ratio) in enumerate(ratios.items())
            for metric, value in (("ratio", ratio), ("refusals", 0.1 * place))]
    frame = pd.DataFrame(rows, columns=["arm", "metric", "value", "low", "high"])
    return curves.frontier(frame, "ratio", "refusals", "loss", "refusals", "best", log=True, **more)


def test_a_base_far_off_leaves_the_axis_to_the_arms_and_the_criterion():
    figure = frontier_of({"base": 15.0, "full": 1.0, "lora": 1.3}, criterion=(1.05, "5 % above"))
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    assert 0.9 < low < 0.98 and 1.32 < high < 1.5
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["base (off the axis: 15)", "full", "lora", "5 % above"]
    (line,) = [line for line in axes.lines if line.get_label() == "5 % above"]
    assert set(line.get_xdata()) == {1.05}
    base = axes.containers[0].lines[0].get_xydata()[0]
    (arrow,) = [line for line in axes.lines if line.get_marker() == ">"]
    assert 1.3 < base[0] < arrow.get_xdata()[0] == high and base[1] == arrow.get_ydata()[0]


def test_a_base_among_the_arms_stays_on_the_axis():
    figure = frontier_of({"base": 1.4, "full": 1.0, "lora": 1.3})
    assert figure.axes[0].get_xlim()[1] > 1.42
    assert figure.legends[0].get_texts()[0].get_text() == "base"


def test_an_arm_without_a_value_is_left_out_of_a_frontier():
    figure = frontier_of({"base": 1.1, "full": 1.0, "lora": float("nan")})
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["base", "full"]


def test_an_interval_below_zero_can_be_drawn_on_a_logarithmic_axis():
    frame = pd.DataFrame({"arm": list("aabb"), "metric": ["x", "y"] * 2, "value": [1, 0.5, 2, 0.7],
                          "low": [-1, 0.4, -3, 0.6], "high": [3, 0.6, 7, 0.8]})
    axes = curves.frontier(frame, "x", "y", "x", "y", "best", log=True).axes[0]
    assert 0 < axes.get_xlim()[0] < 1


def test_a_run_of_a_frontier_is_a_pair_of_one_run():
    runs = pd.DataFrame({"arm": "full", "metric": ["ratio"] * 3 + ["refusals"] * 3,
                         "base": [1, 1, 2] * 2, "seed": [0, 1, 0] * 2,
                         "value": [0.99, 1.0, 1.01, 0.2, 0.3, 0.4]}).sample(frac=1, random_state=1)
    axes = frontier_of({"base": 1.1, "full": 1.0}, runs=runs).axes[0]
    pairs = {tuple(xy) for line in axes.lines if line.get_alpha() for xy in line.get_xydata()}
    assert {(0.99, 0.2), (1.0, 0.3), (1.01, 0.4)} == pairs


def test_metrics_kept_apart_get_a_panel_an_arm_with_its_own_doses(doses):
    far = doses.assign(value=doses["value"] + 99 * (doses["arm"] == "lora"))
    far.loc[far["arm"] == "lora", "dose"] *= 7
    figure = curves.curves(far, "dose", "Dose", log=True, apart=["coherence"])
    label = LABELS["coherence"]
    assert [a.get_title(loc="left") for a in figure.axes] == [
        LABELS["refusal_rate"], f"{label}, full", f"{label}, lora"]
    assert [t.get_text() for t in figure.axes[2].get_xticklabels()] == ["0", "7", "21", "70"]
    assert figure.axes[1].get_ylim()[1] < 50 < figure.axes[2].get_ylim()[0] + 60


def test_places_along_a_curve_can_be_named(doses):
    figure = curves.curves(doses, "dose", "Word", marks={3: "choice"})
    assert [[t.get_text() for t in a.texts] for a in figure.axes] == [["choice"]] * 2


def test_weights_say_what_their_colours_mean():
    frame = pd.DataFrame({"condition": "benign", "metric": "token_weight", "step": [1, 2, 2],
                          "word": [1, 1, 2], "value": [1.0, 0.0, 2.0]})
    figure = curves.weight_maps(frame, "step", "word", "Step", "Word")
    told = [t.get_text() for t in figure.axes[-1].get_yticklabels()]
    assert told == ["0: left out", "1: as in the\nplain loss", "2: twice"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["no such word"]
