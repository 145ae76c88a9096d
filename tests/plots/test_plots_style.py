"""The style: arms told apart twice over, figures that fit the page and depend on nothing else."""

import os
import subprocess
import sys
from itertools import combinations

import pandas as pd
import pytest
from matplotlib.text import Text
from simulated_exhibits import broken_table, exhibit_rows, run_table

from lib.plots import style
from lib.plots.curves import calibration, curves, frontier, weight_maps
from lib.plots.intervals import before_after, coefficient_bars, coins, persistence_curve
from lib.plots.style import look_of
from lib.study.notebook import figure_bytes

pytestmark = pytest.mark.usefixtures("page_style")

TABLE = {"arm": ["base", "base"], "condition": [0.0, 1.0], "value": [0.3, 1.1],
         "low": [0.2, 1.0], "high": [0.4, 1.2]}
OTHER_TASTE = """
figure.dpi: 60
savefig.dpi: 77
savefig.bbox: tight
figure.facecolor: black
font.size: 20
font.family: serif
axes.edgecolor: red
axes.labelcolor: blue
lines.linestyle: --
lines.markeredgewidth: 3
errorbar.capsize: 9
xtick.direction: in
legend.fancybox: False
svg.fonttype: none
"""
DRAW = f"""
import sys
import pandas as pd
from lib.plots.intervals import persistence_curve
from lib.plots.style import use_style
from lib.study.notebook import figure_bytes
use_style()
figure = persistence_curve(pd.DataFrame({TABLE}))
sys.stdout.buffer.write(figure_bytes(figure, sys.argv[1], "x"))
"""


def test_arms_differ_by_marker_as_well_as_colour():
    looks = [look_of([], arm) for arm in ("base", *style.ARMS)]
    assert len({(look["color"], look["marker"]) for look in looks}) == len(looks)
    assert len({look["marker"] for look in looks[:9]}) == len({x["color"] for x in looks[:9]}) == 9


def test_arms_look_the_same_whether_the_base_is_shown_or_not():
    with_base, without = ["base", "full", "lora"], ["full", "lora"]
    assert all(look_of(with_base, arm) == look_of(without, arm) for arm in without)
    assert len({look_of(with_base, arm)["color"] for arm in with_base}) == 3


def test_figures_fit_the_page_and_are_the_same_bytes_twice():
    first, second = (persistence_curve(pd.DataFrame(TABLE)) for _ in range(2))
    assert first.get_figwidth() == style.WIDTH
    assert figure_bytes(first, "svg", "x") == figure_bytes(second, "svg", "x")


@pytest.mark.parametrize("format", ["png", "svg"])
def test_a_reader_with_a_matplotlibrc_gets_the_same_bytes(format, tmp_path):
    (tmp_path / "matplotlibrc").write_text(OTHER_TASTE)
    environment = os.environ | {"MATPLOTLIBRC": str(tmp_path), "MPLBACKEND": "agg"}
    theirs = subprocess.run([sys.executable, "-c", DRAW, format], env=environment,
                            capture_output=True, check=True).stdout
    assert theirs == figure_bytes(persistence_curve(pd.DataFrame(TABLE)), format, "x")


def test_panels_are_as_many_as_groups_and_no_empty_one_stays():
    groups = pd.DataFrame({"metric": list("baab")}).groupby("metric", sort=False)
    figure, drawn = style.panels([*groups, ("more", None)], 2, height=1.0)
    assert [name for _, name, _ in drawn] == ["b", "a", "more"]
    assert [axes for axes, _, _ in drawn] == figure.axes
    assert drawn[1][2].index.tolist() == [1, 2]
    assert figure.get_size_inches().tolist() == [style.WIDTH, 2.4]


# --- every picture as it is printed ---------------------------------------------------------------

DEFENCES = ("base", *style.ARMS[:3], *style.ARMS[6:8], *style.ARMS[11:14], *style.ARMS[24:28])


def both_runs(metric, means, **more):
    """Run tables of a quick replicate and of the reference."""
    return [run_table(metric, means, *size, **more) for size in ((4, 1), (12, 2))]


def drawn_persistence():
    means = {(arm, rho): 0.5 + 0.3 * rho for arm in ("base", "lora", "full", "lora_kl", "bayes")
             for rho in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)}
    few, many = both_runs("implied_persistence", means)
    return persistence_curve(exhibit_rows(few), runs=few, reference=exhibit_rows(many))


def drawn_transfer():
    means = {(arm, f"kind_of_series_{i}"): 1.0 + 0.1 * i for i in range(12)
             for arm in ("base", "lora", "bayes", "full_information")}
    few, many = both_runs("mse_ratio", means)
    return coefficient_bars(exhibit_rows(few), runs=few, reference=exhibit_rows(many))


def drawn_before_after():
    arms = ("base", "lora", "full", "lora_kl")
    few, many = (pd.concat(tables) for tables in zip(
        both_runs("implied_persistence", {(a, f"rho {r}"): 0.5 for a in arms for r in "048"}),
        both_runs("pronoun_slope", {(a, "plain"): 0.9 for a in arms}),
        both_runs("refusal_rate", {(a, f"unseen {c}"): 0.8 for a in arms for c in "abc"},
                  coin=True),
        both_runs("neutral_perplexity", {(a, "model"): 30.0 for a in arms}), strict=True))
    return before_after(exhibit_rows(few), runs=few, reference=exhibit_rows(many))


def drawn_rates():
    steps = {"full": (0.0, 0.0015, 0.003, 0.006), "lora": (0.0, 0.0075, 0.015, 0.03)}
    few, many = (pd.concat(tables) for tables in zip(*(
        both_runs(metric, {(arm, step): mean for arm in steps for step in steps[arm]}, coin=coin)
        for metric, mean, coin in (("refusal_rate", 0.6, True), ("task_loss", 5.0, False))),
        strict=True))
    return curves(exhibit_rows(few), "condition", "Step size, benign task", log=True,
                  apart=["task_loss"], runs=few, reference=exhibit_rows(many))


def drawn_words():
    means = {(arm, word): 0.5 for arm in ("base", "before refusals") for word in range(1, 20)}
    few, _ = both_runs("refusal_word", means)
    return curves(exhibit_rows(few), "condition", "Word", marks={12: "choice", 17: "choice"})


def drawn_frontier():
    few, many = (pd.concat(tables) for tables in zip(
        both_runs("loss_ratio", {(a, "x"): 15 if a == "base" else 1.0 for a in DEFENCES}),
        both_runs("refusal_rate", {(a, "x"): 0.6 for a in DEFENCES}, coin=True), strict=True))
    return frontier(exhibit_rows(few), "loss_ratio", "refusal_rate", "Task loss relative to plain",
                    "Refusal rate", "best: upper left", True, (1.05, "5 % above plain"), few,
                    exhibit_rows(many))


def drawn_calibration():
    arms = ("base", "full", "norms", "prompt", "lora", "lora_kl", "full_kl")
    few, many = both_runs("p_she", {(a, f"w{i}"): 0.1 * i for a in arms for i in range(10)})
    share, part = (lambda t: t["condition"].str[1:].astype(int) / 10), "taught"
    few, many = (table.assign(share=share, part=part) for table in (few, many))
    rows, reference = (exhibit_rows(table, "share", "part") for table in (few, many))
    return calibration(rows, "Planted share of women", "P(she)", few, reference)


def drawn_coins():
    few, many = both_runs("refusal_rate", {(a, "x"): 0.6 for a in DEFENCES}, coin=True)
    few, many = (pd.concat([table, broken_table(table)]) for table in (few, many))
    return coins(exhibit_rows(few), few, exhibit_rows(many))


def drawn_weights():
    rows = [(kind, step, word, 1.0) for kind in ("explicit", "benign")
            for step in range(1, 41) for word in range(1, 24)]
    frame = pd.DataFrame(rows, columns=["condition", "step", "word", "value"])
    return weight_maps(frame.assign(metric="token_weight"), "step", "word", "Optimiser step",
                       "Word of the answer")


def words(figure):
    """Boxes of all that is printed, by text; a label of an axis only where it is in view."""
    figure.canvas.draw()
    hidden = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        shown = {tick.label1 for tick in axis._update_ticks()}
        hidden |= {*axis.get_ticklabels(which="both")} - shown
    found = [text for text in figure.findobj(Text)
             if text.get_visible() and text.get_text().strip() and text not in hidden]
    return [(text.get_text(), Text.get_window_extent(text)) for text in found]


PICTURES = [value for name, value in globals().items() if name.startswith("drawn_")]


@pytest.mark.parametrize("draw", PICTURES, ids=lambda draw: draw.__name__.removeprefix("drawn_"))
def test_no_words_cover_each_other_or_leave_the_page(draw):
    figure = draw()
    found, page = words(figure), figure.bbox.padded(1)
    assert len(found) > 8
    covered = [(one, two) for (one, a), (two, b) in combinations(found, 2)
               if a.padded(-0.5).overlaps(b.padded(-0.5))]
    assert covered == []
    assert [text for text, box in found
            if not (page.contains(*box.min) and page.contains(*box.max))] == []


@pytest.mark.parametrize("draw", [drawn_frontier, drawn_coins])
def test_runs_lie_where_they_lay_before(draw):
    assert figure_bytes(draw(), "svg", "x") == figure_bytes(draw(), "svg", "x")
