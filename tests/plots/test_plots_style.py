"""The style: arms told apart twice over, figures that fit the page and depend on nothing else."""

import os
import subprocess
import sys

import pandas as pd
import pytest

from lib.plots import style
from lib.plots.intervals import persistence_curve
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
