"""A budget's figure: places in multiples of what is allowed, verdicts, text, and room."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from lib.plots.gate import FARTHEST, LOOKS, digits, margins
from lib.statistics.noninferiority import FAIL, OPEN, PASS

pytestmark = pytest.mark.usefixtures("page_style")


@pytest.fixture
def lines():
    return pd.DataFrame({
        "says": ["requests refused", "perplexity of neutral text that nobody was taught", "slope"],
        "value": [0.02, 1.5, -0.01], "low": [-0.01, 1.4, -np.inf], "high": [0.04, 1.6, 0.3],
        "allowed": [0.05, 0.05, 0.1], "verdict": [PASS, FAIL, OPEN],
    })


def markers(axes):
    """Verdict and place of every value."""
    values = [line for line in axes.lines if line.get_label() in LOOKS]
    return {line.get_label(): (line.get_xdata()[0], line.get_ydata()[0]) for line in values}


def test_every_verdict_has_a_look_and_no_two_share_a_colour_or_a_marker():
    assert set(LOOKS) == {PASS, FAIL, OPEN}
    assert len({look["color"] for look in LOOKS.values()}) == 3
    assert len({look["marker"] for look in LOOKS.values()}) == 3


def test_harms_are_multiples_of_what_is_allowed_and_lines_go_down_the_page(lines):
    axes = margins(lines).axes[0]
    assert markers(axes)[PASS] == pytest.approx((0.4, 0))
    assert markers(axes)[OPEN] == pytest.approx((-0.1, 2))
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()] == list(
        lines["says"])


def test_bars_reach_from_limit_to_limit(lines):
    bars = [c.get_segments()[0][:, 0] for c in margins(lines).axes[0].collections]
    assert bars[0] == pytest.approx([-0.2, 0.8])


def test_what_is_too_far_away_is_drawn_at_the_end_with_an_arrow(lines):
    axes = margins(lines).axes[0]
    assert markers(axes)[FAIL] == (FARTHEST, 1)
    arrows = [(line.get_marker(), float(line.get_ydata()[0])) for line in axes.lines
              if line.get_marker() in ("<", ">") and len(line.get_ydata())]
    assert sorted(arrows) == [("<", 2.0), (">", 1.0)]
    low, high = axes.get_xlim()
    assert low < -FARTHEST and high > FARTHEST and high < FARTHEST + 1


def test_the_limit_is_a_red_line_at_one_and_the_legend_names_all(lines):
    figure = margins(lines)
    limit = next(line for line in figure.axes[0].lines
                 if line.get_label() == "limit of the budget")
    assert list(limit.get_xdata()) == [1, 1] and to_hex(limit.get_color()) == "#c00000"
    told = {text.get_text() for text in figure.legends[0].get_texts()}
    assert told == {"limit of the budget", "beyond the axis", PASS, FAIL, OPEN}


def test_a_figure_without_arrows_does_not_explain_them(lines):
    told = [text.get_text() for text in margins(lines[:1]).legends[0].get_texts()]
    assert told == ["limit of the budget", PASS]


def test_numbers_stand_beside_the_axis_and_on_the_page(lines):
    figure = margins(lines)
    figure.canvas.draw()
    texts = {text.get_text(): text for text in figure.axes[0].texts}
    assert {"+0.020 [-0.010, +0.040]", "0.050", "harm [limits]", "allowed"} <= set(texts)
    page = figure.bbox
    for text in texts.values():
        box = text.get_window_extent()
        assert page.x0 <= box.x0 and box.x1 <= page.x1 + 1


def test_several_models_have_panels_with_their_own_names(lines):
    figure = margins(pd.concat([lines.assign(arm="lora"), lines.assign(arm="$odd_{name$")]))
    figure.canvas.draw()  # a name is no formula
    assert [axes.get_title() for axes in figure.axes] == ["lora", "$odd {name$"]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()


@pytest.mark.parametrize(("value", "sign", "told"), [
    (0.0531, "", "0.053"), (0.05, "+", "+0.050"), (-0.0004, "+", "+0.000"), (12.34, "", "12.3"),
    (1039.2, "+", "+1039"), (2.5e6, "", "2.5e+06"), (float("inf"), "+", "+inf"),
])
def test_digits_are_as_many_as_a_reader_needs(value, sign, told):
    assert digits(value, sign) == told
