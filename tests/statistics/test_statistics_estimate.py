"""The result type and its table."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from lib.statistics.estimate import Estimate, t_interval, to_frame

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
    assert t_interval(0.0, 1.0, np.inf) == pytest.approx((-1.959964, 1.959964), abs=1e-6)
    low, high = t_interval(1.0, 2.0, 9, level=0.9)
    assert (low, high) == pytest.approx((1 - 1.833113 * 2, 1 + 1.833113 * 2), abs=1e-5)


def test_coverage_includes_the_ends():
    assert ONE.covers(0.39) and ONE.covers(0.51) and not ONE.covers(0.52)


def test_table_has_a_row_each_and_labels_in_front():
    table = to_frame([ONE, ONE], arm="base", condition=[0.0, 0.2])
    assert list(table.columns[:4]) == ["arm", "condition", "name", "value"]
    assert table["condition"].tolist() == [0.0, 0.2]
    assert table["arm"].tolist() == ["base", "base"]
    assert table.loc[0, "df"] == 39.0


def test_formatting_gives_value_and_interval():
    assert f"{ONE:.2f}" == "0.45 [0.39, 0.51]"
    assert f"{ONE}" == str(ONE)


def test_without_an_error_a_value_is_the_null_or_certainly_not():
    sure = Estimate("x", 0.0, 0.0, 0.0, 0.0, 10, 5, "mean", 4.0)
    assert sure.pvalue() == 1.0 and sure.pvalue(null=0.5) == 0.0
