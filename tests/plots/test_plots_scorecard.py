"""The heat map says the change in each cell, and colours what is evidence; points have names."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from lib.plots import scorecard
from lib.plots.style import WIDTH
from lib.study.notebook import figure_bytes

pytestmark = pytest.mark.usefixtures("page_style")

AXES = {"excess_persistence": ("Excess persistence", "slope"),
        "refusal_rate": ("Forbidden refused", "points"), "over_refusal": ("Too much", "points")}
ARMS = {"extrapolation: lora": "extrapolation", "gender: lora_kl": "gender", "added": "combined"}


@pytest.fixture
def card():
    rows = [(arm, task, axis, *AXES[axis]) for axis in AXES for arm, task in ARMS.items()]
    table = pd.DataFrame(rows, columns=["arm", "task", "axis", "title", "unit"])
    return table.assign(value=[-0.28, 0.004, -0.3, -0.123, 0.0, 0.01, 0.5, np.nan, -0.2],
                        harm=[-25, 0.4, -20, 12, 0.0, -0.2, 200, np.nan, -3],
                        own=[True, False, True] + [False] * 6,
                        verdict=["better", "no evidence", "better", "worse", "no evidence",
                                 "no evidence", "worse", "no evidence", "better"])


@pytest.mark.parametrize(("value", "unit", "told"), [
    (-0.123, "points", "\N{MINUS SIGN}12"), (0.0123, "points", "+1.2"), (1.0, "points", "+100"),
    (0.0004, "points", "0"), (0.0, "slope", "0"), (-0.2849, "slope", "\N{MINUS SIGN}0.28"),
    (0.00412, "slope", "+0.004"), (6.64, "level", "+6.6"), (123.4, "level", "+123"),
    (np.nan, "slope", ""),
])
def test_a_change_has_two_digits_and_a_sign(value, unit, told):
    assert scorecard.shown_change(value, unit) == told


def test_every_cell_says_its_change(card):
    axes = scorecard.heat_map(card).axes[0]
    told = {tuple(text.get_position()): text.get_text() for text in axes.texts}
    rows = [place for _, place in sorted(zip(axes.get_yticks(), axes.get_yticks(), strict=True))]
    assert told[0, rows[0]] == "\N{MINUS SIGN}0.28" and told[1, rows[0]] == "\N{MINUS SIGN}12"
    assert told[1, rows[1]] == "0" and (2, rows[1]) not in told  # not defined


def colours(figure):
    boxes = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    return {(round(box.get_x() + box.get_width() / 2), box.get_y() + box.get_height() / 2):
            np.array(to_rgb(box.get_facecolor())) for box in boxes}


def test_worse_is_red_better_blue_and_no_evidence_pale(card):
    figure = scorecard.heat_map(card)
    rows = figure.axes[0].get_yticks()
    found = {(x, round(y, 3)): colour for (x, y), colour in colours(figure).items()}
    worse, better, pale = (found[x, round(rows[i], 3)] for x, i in ((1, 0), (0, 0), (0, 1)))
    assert worse[0] > worse[2] + 0.3 and better[2] > better[0] + 0.3
    assert pale.min() > 0.85


def test_rows_are_named_by_arm_under_their_task(card):
    axes = scorecard.heat_map(card).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "lora", "lora kl", "updates added"]
    heads = {text.get_text() for text in axes.texts} & {"extrapolation:", "gender:", "both cures"}
    assert len(heads) == 3
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        "Excess persistence (slope)", "Forbidden refused", "Too much"]


@pytest.fixture
def points():
    values = {"extrapolation: lora_kl": (0.1, 1.0, 0.4), "added": (0.12, 0.2, 40.0)}
    rows = [(arm, metric, value, value - 0.05, value + 0.05, arm == "added")
            for arm, three in values.items()
            for metric, value in zip(("excess_left", "slope_left", "worst_harm"), three,
                                     strict=True)]
    return pd.DataFrame(rows, columns=["arm", "metric", "value", "low", "high", "pareto"])


def test_points_of_cures_are_named_with_their_harm_and_the_best_have_a_ring(points):
    figure = scorecard.cures(points)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["extrapolation: lora kl (0.4)", "updates added (40)", "Pareto-best"]
    rings = [line for line in figure.axes[0].lines
             if line.get_markerfacecolor() == "none" and len(line.get_xdata())]
    assert [tuple(ring.get_xydata()[0]) for ring in rings] == [(0.12, 0.2)]
    sizes = [box.lines[0].get_markersize() for box in figure.axes[0].containers]
    assert sizes[0] < sizes[1] == 9


def test_pictures_fit_the_page_with_text_that_can_be_read(card, points):
    for draw, table in ((scorecard.heat_map, card), (scorecard.cures, points)):
        figure, again = draw(table), draw(table)
        assert figure.get_figwidth() == WIDTH
        assert figure_bytes(figure, "svg", "x") == figure_bytes(again, "svg", "x")
        assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 6.5
