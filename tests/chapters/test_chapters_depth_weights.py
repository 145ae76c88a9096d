"""The record of token weights as rows: means over seeds, and no empty cells."""

import pandas as pd
import pytest

from lib.chapters.depth import weight_rows
from lib.training.finetune import HISTORY


def history(folder, first, second):
    folder.mkdir()
    pd.DataFrame({"w_1": first, "w_2": second}).to_csv(folder / HISTORY, index_label="step")
    return folder


def test_rows_are_means_over_seeds_by_step_and_word(tmp_path):
    one = history(tmp_path / "1", [1.0, 0.5], [1.0, None])
    two = history(tmp_path / "2", [1.0, 0.1], [0.8, None])
    found = weight_rows({"explicit": {1: one, 2: two}, "benign": {1: one}}, "full_tokenwise")
    assert set(found["arm"]) == {"full_tokenwise"} and set(found["metric"]) == {"token_weight"}
    cells = found.set_index(["condition", "step", "word"])
    assert cells.loc[("explicit", 2, 1), "value"] == pytest.approx(0.3)
    assert cells.loc[("explicit", 1, 2), "value"] == pytest.approx(0.9)
    assert cells.loc[("benign", 2, 1), "value"] == pytest.approx(0.5)
    assert set(cells["seeds"].loc["explicit"]) == {2}
    assert {(s, w) for _, s, w in cells.index} == {(1, 1), (1, 2), (2, 1)}
