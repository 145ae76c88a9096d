"""What a reader would check on a page of intervals: places, ends, names, room."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from simulated_exhibits import broken_table, exhibit_rows, run_table

from lib.plots import intervals
from lib.plots.style import LABELS

pytestmark = pytest.mark.usefixtures("page_style")


@pytest.fixture
def curve():
    rho = [0.0, 0.5, 1.0]
    rows = [{"arm": arm, "condition": r, "metric": "implied_persistence", "value": r + lift,
             "low": r + lift - 0.1, "high": r + lift + 0.2}
            for arm, lift in (("full_information", 0.0), ("base", 0.3)) for r in rho]
    return pd.DataFrame(rows)


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def segments(container):
    """Ends of the error bars of one errorbar container, shape (points, 2, 2)."""
    return np.array(container.lines[2][0].get_segments())


def test_persistence_curve_draws_every_arm_against_the_45_degree_line(curve):
    figure = intervals.persistence_curve(curve)
    line = figure.axes[0].lines[0]
    assert np.array_equal(line.get_xdata(), line.get_ydata())
    assert legend(figure) == ["full information", "base", "implied = true"]
    assert len(figure.axes[0].containers) == 2


def test_persistence_curve_shows_values_and_intervals_as_given(curve):
    axes = intervals.persistence_curve(curve).axes[0]
    base = axes.containers[1]
    assert np.allclose(base.lines[0].get_ydata(), [0.3, 0.8, 1.3])
    assert np.allclose(segments(base)[:, :, 1], [[0.2, 0.5], [0.7, 1.0], [1.2, 1.5]])


def test_points_of_different_arms_do_not_hide_each_other(curve):
    axes = intervals.persistence_curve(curve.assign(value=0.5)).axes[0]
    first, second = (c.lines[0].get_xdata() for c in axes.containers)
    assert (first != second).all() and np.abs(first - second).max() < 0.05


def test_an_arm_without_intervals_is_drawn_without_whiskers(curve):
    curve.loc[curve.arm == "base", ["low", "high"]] = np.nan
    base = intervals.persistence_curve(curve).axes[0].containers[1]
    assert np.allclose(np.ptp(segments(base)[:, :, 1], axis=1), 0)


def test_conditions_need_not_be_sorted(curve):
    axes = intervals.persistence_curve(curve.iloc[::-1]).axes[0]
    assert (np.diff(axes.containers[0].lines[0].get_xdata()) > 0).all()


def test_coefficient_bars_put_first_condition_on_top_and_mark_zero(curve):
    curve["metric"] = "error_revision"
    axes = intervals.coefficient_bars(curve).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["0", "0.5", "1"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert np.array_equal(axes.lines[0].get_xdata(), [0, 0])
    assert axes.get_xlabel() == LABELS["error_revision"]
    assert np.allclose(axes.containers[1].lines[0].get_xdata(), [0.3, 0.8, 1.3])


def test_coefficient_bars_leave_out_what_is_not_defined(curve):
    curve.loc[0, ["value", "low", "high"]] = np.nan
    drawn = intervals.coefficient_bars(curve).axes[0].containers[0].lines[0].get_xdata()
    assert np.isfinite(np.asarray(drawn, dtype=float)).tolist() == [False, True, True]


def test_one_arm_needs_no_legend_and_text_conditions_no_axis_label(curve):
    one = curve[curve.arm == "base"].assign(condition=["a_b", "c", "d"])
    figure = intervals.coefficient_bars(one)
    assert not figure.legends and figure.axes[0].get_ylabel() == ""
    assert figure.axes[0].get_yticklabels()[0].get_text() == "a b"


def test_before_after_has_one_panel_a_metric_with_its_own_conditions(curve):
    other = curve[curve.condition == 0].assign(metric="refusal_rate", condition="forbidden")
    figure = intervals.before_after(pd.concat([curve, other]))
    names = ["implied_persistence", "refusal_rate"]
    assert [a.get_title(loc="left") for a in figure.axes] == [LABELS[n] for n in names]
    ticks = [[t.get_text() for t in a.get_yticklabels()] for a in figure.axes]
    assert ticks == [["0", "0.5", "1"], ["forbidden"]]
    assert np.allclose(figure.axes[1].containers[1].lines[0].get_xdata(), [0.3])
    assert legend(figure) == ["full information", "base"]


def test_before_after_grows_so_that_names_of_conditions_do_not_touch(curve):
    crowded = pd.concat([curve.assign(condition=f"condition {i}", value=0.1 * i)
                         for i in range(12)])
    figure = intervals.before_after(crowded)
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert len(boxes) == 12
    assert all(upper.y0 >= lower.y1 - 1 for upper, lower in pairwise(boxes))


def test_before_after_draws_an_arm_only_where_it_was_measured(curve):
    frame = pd.concat([curve, curve[curve.arm == "base"].assign(metric="task_loss")])
    figure = intervals.before_after(frame)
    drawn = [[np.size(c.lines[0].get_xdata()) for c in a.containers] for a in figure.axes]
    assert drawn == [[3, 3], [0, 3]]


def test_many_arms_stay_within_their_condition():
    arms = [f"arm{i}" for i in range(6)]
    frame = pd.DataFrame([{"arm": a, "condition": c, "metric": "task_loss", "value": 1.0,
                           "low": 0.9, "high": 1.1} for a in arms for c in ("x", "y")])
    for draw in (intervals.before_after, intervals.coefficient_bars):
        lines = [c.lines[0] for c in draw(frame).axes[0].containers]
        highest = max(line.get_ydata()[0] for line in lines)
        assert highest < min(line.get_ydata()[1] for line in lines)


def test_coverage_draws_the_accepted_band_and_a_line_an_estimator():
    frame = pd.DataFrame({
        "arm": ["implied_persistence", "error_revision"] * 2,
        "condition": ["rho 0"] * 2 + ["rho 1"] * 2,
        "metric": "coverage", "value": [0.95, 0.94, 0.96, 0.91], "low": 0.9, "high": 0.97,
    })
    axes = intervals.coverage(frame, (0.93, 0.97)).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["implied persistence", "error revision"]
    assert axes.get_xlim()[0] < 0.9 and axes.get_xlim()[1] == 1.0
    band = axes.patches[0].get_window_extent().transformed(axes.transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((0.93, 0.97), abs=1e-6)


def test_zero_is_marked_only_where_values_lie_on_both_sides(curve):
    change = curve.assign(metric="pronoun_slope_change", low=curve["low"] - 1)
    figure = intervals.before_after(pd.concat([curve.assign(low=0.1), change]))
    levels, changes = figure.axes
    name, unit = LABELS["pronoun_slope"].split(" (")  # a long title breaks before its unit
    assert changes.get_title(loc="left") == f"Change: {name}\n({unit}"
    marked = [any(set(line.get_xdata()) == {0} for line in a.lines) for a in (levels, changes)]
    assert marked == [False, True]


@pytest.fixture
def coin():
    shares = {("base", "benign"): 1.0, ("full", "benign"): 0.5, ("lora", "benign"): 0.9}
    return run_table("refusal_rate", shares, coin=True)


def test_coins_show_every_run_and_count_the_broken_ones(coin):
    broken = broken_table(coin)
    figure = intervals.coins(exhibit_rows(pd.concat([coin, broken])), coin)
    left, right = figure.axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["base", "full", "lora"]
    drawn = np.concatenate([line.get_xdata() for line in left.lines if line.get_alpha()])
    assert sorted(drawn) == sorted(coin["value"])
    lost = broken.groupby("arm")["value"].sum().astype(int)
    assert 0 < lost["lora"] < lost["full"] < 24
    assert [(t.get_text(), t.xy[1]) for t in right.texts] == [
        (f"{lost['full']} of 24", 1), (f"{lost['lora']} of 24", 2)]
    means = {round(c.lines[0].get_ydata()[0]): c.lines[0].get_xdata()[0] for c in right.containers
             if len(c.lines[0].get_xdata())}
    assert means == pytest.approx({1: lost["full"] / 24, 2: lost["lora"] / 24})


def test_a_share_that_is_not_defined_is_left_out_of_the_coins(coin):
    rows = exhibit_rows(pd.concat([coin, broken_table(coin)]))
    rows.loc[(rows["metric"] == "broken_share") & (rows["arm"] == "lora"), "value"] = np.nan
    assert len(intervals.coins(rows, coin).axes[1].texts) == 1


def test_coins_of_several_conditions_have_a_line_each(coin):
    both = pd.concat([coin, coin[coin["arm"] == "full"].assign(condition="poisoned")])
    rows = exhibit_rows(pd.concat([both, broken_table(both)]))
    labels = intervals.coins(rows, both).axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == [
        "benign, base", "benign, full", "benign, lora", "poisoned, full"]
