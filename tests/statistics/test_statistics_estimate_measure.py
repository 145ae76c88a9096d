"""Measures: an estimate with a condition and a range, and their table."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.statistics.estimate import COLUMNS, Estimate, Measure, measure_table, table_measures

SLOPE = Estimate("pronoun_slope", 1.0, 0.1, 0.8, 1.2, 20, 5, "ols, t(4)", 4.0)
SHARE = Estimate("refusal_rate", 0.98, 0.02, 0.94, 1.02, 50, 50, "normal")


def test_an_estimate_keeps_all_it_says():
    found = Measure.of(SLOPE, "plain")
    assert {k: vars(found)[k] for k in vars(SLOPE)} == vars(SLOPE)
    assert found.condition == "plain" and isinstance(found, Estimate)


def test_a_share_has_no_limit_outside_the_unit_interval():
    found = Measure.share(SHARE, "benign")
    assert (found.low, found.high) == (0.94, 1.0)
    assert (found.least, found.most) == (0.0, 1.0)


def test_a_range_open_to_one_side_cuts_that_side_only():
    wide = Estimate("neutral_perplexity", 2.0, 9.0, -16.0, 20.0, 9, 9, "delta")
    found = Measure.of(wide, "model", least=1.0)
    assert (found.low, found.high) == (1.0, 20.0)


def test_a_table_begins_with_the_fixed_columns_one_row_a_measure():
    table = measure_table([Measure.of(SLOPE, "plain"), Measure.share(SHARE, "benign")])
    assert list(table.columns)[: len(COLUMNS)] == COLUMNS
    assert table["metric"].tolist() == ["pronoun_slope", "refusal_rate"]
    assert table["condition"].tolist() == ["plain", "benign"]
    assert {"se", "df", "clusters", "method", "least", "most"} <= set(table.columns)


def test_a_table_written_to_parquet_gives_the_measures_back(tmp_path):
    measures = [Measure.of(SLOPE, "plain"), Measure.share(SHARE, "benign")]
    measure_table(measures).to_parquet(tmp_path / "t.parquet")
    assert table_measures(pd.read_parquet(tmp_path / "t.parquet")) == measures


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_limits_stay_in_range_and_in_order(a, b):
    low, high = sorted((a, b))
    found = Measure.share(Estimate("x", 0.5, 1.0, low, high, 2, 2, ""), "c")
    assert 0 <= found.low <= found.high <= 1


def test_what_is_not_defined_stays_so():
    found = Measure.share(Estimate("x", *[np.nan] * 4, 2, 2, "not defined", np.nan), "c")
    assert np.isnan([found.value, found.low, found.high]).all()


def test_an_estimate_cannot_be_put_in_a_table_without_a_condition():
    with pytest.raises(KeyError):
        measure_table([SLOPE])
