"""Runs and reference behind a value: only those of its cell, at its place, within its axis."""

import numpy as np
import pandas as pd
import pytest
from simulated_exhibits import exhibit_rows, run_table

from lib.plots import layers
from lib.plots.intervals import before_after, coefficient_bars
from lib.plots.style import GREY, PALE, look_of

pytestmark = pytest.mark.usefixtures("page_style")

MEANS = {("base", "plain"): 0.8, ("lora", "plain"): 0.5, ("lora", "hard"): 0.2}


@pytest.fixture
def runs():
    return run_table("pronoun_slope", MEANS)


def dots(axes, colour):
    """Places and values of the small points of a colour, shape (points, 2)."""
    return np.concatenate([line.get_xydata() for line in axes.lines
                           if line.get_color() == colour and line.get_alpha() is not None])


def test_every_run_of_a_cell_is_a_point_in_the_colour_of_its_arm(runs):
    axes = coefficient_bars(exhibit_rows(runs), runs=runs).axes[0]
    for arm in ("base", "lora"):
        drawn = dots(axes, look_of([], arm)["color"])
        assert sorted(drawn[:, 0]) == sorted(runs.loc[runs["arm"] == arm, "value"])


def test_runs_of_cells_that_are_not_shown_are_left_out(runs):
    table = exhibit_rows(runs)
    axes = coefficient_bars(table[table["condition"] == "plain"], runs=runs).axes[0]
    assert len(dots(axes, look_of([], "lora")["color"])) == 24


def test_another_column_of_text_tells_cells_apart(runs):
    both = pd.concat([runs.assign(attack="benign"),
                      runs.assign(attack="poisoned", value=runs["value"] + 9)])
    table = exhibit_rows(both, "attack")
    rows = layers.layered(table[table["attack"] == "benign"], both, table)
    assert set(rows["attack"]) == {"benign"} and rows["value"].max() < 2
    assert rows["layer"].value_counts().to_dict() == {"run": 72, "value": 3, "reference": 3}


def test_a_reference_read_from_a_file_matches_numbers_kept_as_text():
    runs = run_table("implied_persistence", {("base", 0.2): 0.7, ("base", 1.0): 0.9})
    table = exhibit_rows(runs)
    read = table.assign(condition=["0.2", "1"])
    rows = layers.layered(table, None, read)
    assert rows.loc[rows["layer"] == "reference", "condition"].tolist() == [0.2, 1.0]


def test_a_base_is_at_the_same_side_in_every_cell_and_runs_stay_in_their_line(runs):
    axes = coefficient_bars(exhibit_rows(runs), runs=runs).axes[0]
    plain, hard = np.split(dots(axes, look_of([], "lora")["color"])[:, 1], 2)
    np.testing.assert_allclose(hard - plain, 1.0)
    assert np.ptp(plain) < 0.2 and len(np.unique(plain.round(6))) == 12


def test_the_reference_is_a_grey_bar_over_its_interval_at_the_place_of_its_arm(runs):
    table, reference = exhibit_rows(runs), exhibit_rows(runs.assign(value=runs["value"] + 1))
    axes = coefficient_bars(table, reference=reference).axes[0]
    grey = [c for c in axes.collections if c.get_linewidth()[0] == layers.BAR["linewidth"]]
    bars = np.concatenate([np.array(c.get_segments()) for c in grey])
    np.testing.assert_allclose(bars[:, :, 0], reference[["low", "high"]])
    marks = np.concatenate([c.lines[0].get_ydata() for c in axes.containers])
    np.testing.assert_allclose(bars[:, 0, 1], marks)


def test_the_legend_names_reference_and_runs_once_and_after_the_arms(runs):
    other = runs.assign(metric="refusal_rate")
    both = pd.concat([runs, other])
    figure = before_after(exhibit_rows(both), runs=other, reference=exhibit_rows(runs))
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["base", "lora", "reference, 95 %", "one run"]
    assert {GREY, PALE} <= {h.get_color() for h in figure.legends[0].get_lines()}


def wide(low, high, value=1.1):
    rows = [("base", c, "mse_ratio", 1.0, 0.9, 1.1) for c in "abcdef"]
    rows.append(("base", "g", "mse_ratio", value, low, high))
    return pd.DataFrame(rows, columns=["arm", "condition", "metric", "value", "low", "high"])


@pytest.mark.parametrize("low, high, marks", [(0.9, 7.0, ">"), (-5.0, 1.2, "<"), (-5, 7, "<>")])
def test_an_interval_far_beyond_all_values_is_cut_and_ends_in_an_arrow(low, high, marks):
    figure = coefficient_bars(wide(low, high))
    (axes,) = figure.axes
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["base", "beyond the axis"]
    left, right = axes.get_xlim()
    assert -0.5 < left < 0.9 and 1.1 < right < 2.5
    arrows = {line.get_marker(): line.get_xydata() for line in axes.lines
              if line.get_marker() in ("<", ">") and len(line.get_xydata())}
    assert set(arrows) == set(marks)
    for marker, ((x, y),) in arrows.items():
        assert y == 6 and x == {"<": left, ">": right}[marker]


def test_no_value_is_cut_off_and_what_has_room_is_left_alone():
    axes = coefficient_bars(wide(6.9, 7.1, value=7.0)).axes[0]
    assert axes.get_xlim()[1] > 7
    assert layers.bulk(wide(0.8, 1.3).assign(layer="value")) is None


def test_the_farthest_value_has_its_whole_interval_where_usual_ones_are_tiny():
    rows = wide(60.0, 72.0, value=66.0)
    rows[["low", "high"]] = rows[["low", "high"]].where(rows["condition"] == "g", 1.0)
    rows.loc[0, ["low", "high"]] = 0.999, 1.001
    most = pd.DataFrame({"value": [300.0], "low": None, "high": None, "layer": "run"})
    low, high = layers.bulk(pd.concat([rows.assign(layer="value"), most]))
    assert 72 < high < 100 and low < 1


def test_shares_keep_their_whole_interval():
    rows = wide(0.0, 1.0, value=0.97).assign(layer="value")
    assert layers.bulk(rows.assign(value=0.97, low=rows["low"].clip(0, 0.97), high=1.0)) is None


def test_a_run_beyond_the_axis_leaves_an_arrow(runs):
    table, far = wide(0.9, 7.0), wide(0.9, 7.0).assign(base=1, seed=0, value=[9.0] + [1.0] * 6)
    axes = coefficient_bars(table, runs=far.drop(columns=["low", "high"])).axes[0]
    arrows = [line.get_ydata() for line in axes.lines if line.get_marker() == ">"]
    assert np.concatenate(arrows).tolist() == [6, 0] or sorted(np.concatenate(arrows)) == [0, 6]
