"""The result types and their table."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lib.statistics.estimate import (
    COLUMNS,
    Estimate,
    Measure,
    interval_table,
    measure_table,
    minimum_detectable,
    t_interval,
)

SLOPE = Estimate("pronoun_slope", 1.0, 0.1, 0.8, 1.2, 20, 5, "ols, t(4)", 4.0)
SHARE = Estimate("refusal_rate", 0.98, 0.02, 0.94, 1.02, 50, 50, "normal")
ONE = Estimate("implied_persistence", 0.45, 0.03, 0.39, 0.51, 320, 40, "ols", 39.0)


def test_an_estimate_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ONE.value = 0.0


def test_fields_are_those_of_the_contract_then_df():
    names = [f.name for f in dataclasses.fields(Estimate)]
    assert names == ["name", "value", "se", "low", "high", "n", "clusters", "method", "df"]
    assert Estimate(*dataclasses.astuple(ONE)[:8]).df == np.inf


def test_pvalue_is_two_sided_against_any_null():
    assert ONE.pvalue() == pytest.approx(2 * stats.t.sf(15, 39))
    assert ONE.pvalue(0.51) == pytest.approx(2 * stats.t.sf(2, 39))
    assert ONE.pvalue(0.45) == 1.0


def test_pvalue_and_interval_agree_on_the_border():
    low, high = t_interval(0.45, 0.03, 39)
    assert [ONE.pvalue(low), ONE.pvalue(high)] == pytest.approx([0.05, 0.05])


def test_interval_of_infinite_df_is_normal():
    assert t_interval(0.0, 1.0, np.inf) == pytest.approx((-1.959964, 1.959964), rel=1e-6)
    assert t_interval(1.0, 2.0, 9) == pytest.approx((1 - 2.262157 * 2, 1 + 2.262157 * 2), rel=1e-6)


def test_coverage_includes_the_ends():
    assert ONE.covers(0.39) and ONE.covers(0.51) and not ONE.covers(0.52)


def test_formatting_gives_value_and_interval():
    assert f"{ONE:.2f}" == "0.45 [0.39, 0.51]"
    assert f"{ONE}" == str(ONE)


def test_without_an_error_a_value_is_the_null_or_certainly_not():
    sure = Estimate("x", 0.0, 0.0, 0.0, 0.0, 10, 5, "mean", 4.0)
    assert sure.pvalue() == 1.0 and sure.pvalue(null=0.5) == 0.0


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


def test_interval_table_reads_as_rows_do_and_keeps_their_order():
    table = pd.DataFrame({"arm": ["lora", "base", "lora"], "condition": ["b", "b", "a"],
                          "value": [0.123, -0.001, None], "low": [0.1, None, None],
                          "high": [0.2, None, None]})
    read = interval_table(table)
    assert list(read.index) == ["b", "a"] and list(read.columns) == ["lora", "base"]
    assert read.loc["b"].tolist() == ["0.12 [0.10, 0.20]", "0.00"]
    assert read.loc["a"].tolist() == ["", ""]


def test_the_minimum_detectable_effect_is_found_with_its_power():
    assert minimum_detectable(1.0) == pytest.approx(2.8016, abs=1e-4)
    effect = minimum_detectable(0.1, df=20, power=0.9)
    found = stats.nct.sf(stats.t.ppf(0.975, 20), 20, effect / 0.1)
    assert found == pytest.approx(0.9, abs=0.01)
    assert effect > minimum_detectable(0.1, power=0.9)
