"""What a reader would check on a heat map: which cell says what, and in which colours."""

import numpy as np
import pandas as pd
import pytest

from lib.plots import curves, intervals
from lib.plots import style as plots

pytestmark = pytest.mark.usefixtures("page_style")


def ticks(axes):
    return ([t.get_text() for t in axes.get_xticklabels()],
            [t.get_text() for t in axes.get_yticklabels()])


def test_each_cell_of_a_grid_tells_its_value_and_interval_under_its_own_settings():
    rows = [(metric, rate, batch, k + i / 10 + j / 100, 0.0, 9.0)
            for k, metric in enumerate(("refusal_rate", "task_loss"))
            for i, rate in enumerate((0.001, 0.002)) for j, batch in enumerate((5, 10, 30))]
    frame = pd.DataFrame(rows, columns=["metric", "rate", "batch", "value", "low", "high"])
    shuffled = frame.sample(frac=1, random_state=0).sort_values("metric", kind="stable")
    figure = curves.grid_maps(shuffled, "batch", "rate", "Examples", "Step")
    first, second = figure.axes
    assert first.get_title(loc="left") == intervals.LABELS["refusal_rate"]
    assert (first.get_xlabel(), first.get_ylabel()) == ("Examples", "Step")
    assert ticks(first) == (["5", "10", "30"], ["0.001", "0.002"])
    said = {(t.get_position()): t.get_text() for t in second.texts}
    assert said[2.5, 1.5] == "1.12\n[0.00, 9.00]" and said[0.5, 0.5] == "1.00\n[0.00, 9.00]"


def test_weights_have_common_colours_with_one_in_the_middle_and_gaps_are_no_cells():
    rows = [(kind, "token_weight", step, word, 0.5 * word)
            for kind in ("explicit", "benign") for step in range(1, 41) for word in (1, 2, 3)
            if (step, word) != (2, 3)]
    frame = pd.DataFrame(rows, columns=["condition", "metric", "step", "word", "value"])
    figure = curves.weight_maps(frame, "step", "word", "Step", "Word")
    one, two, bar = figure.axes
    assert one.get_title(loc="left") == "explicit" and two.get_title(loc="left") == "benign"
    assert bar.get_ylabel() == intervals.LABELS["token_weight"]
    mesh = one.collections[0]
    assert mesh.get_clim() == two.collections[0].get_clim() == (0, 2)
    np.testing.assert_allclose(mesh.cmap(mesh.norm(1.0))[:3], 1.0, atol=0.05)  # white
    cells = mesh.get_array().reshape(3, 40)
    assert cells.mask.sum() == 1 and cells.mask[2, 1] and cells[1, 0] == 1.0
    steps, words = ticks(one)
    assert words == ["1", "2", "3"] and steps[:2] == ["1", "5"] and len(steps) == plots.heat.TICKS
