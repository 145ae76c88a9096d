"""Real series: known values, spans and persistence from outside sources."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from lib.errors import UnknownNameError
from lib.forecasting.frames import window_items
from lib.forecasting.real import REGISTRY, catalogue, real_series


@pytest.mark.parametrize("name", REGISTRY)
def test_series_are_complete_regular_and_usable(name):
    series = real_series(name)
    assert isinstance(series.index, pd.PeriodIndex)
    steps = np.diff([p.ordinal for p in series.index])
    assert (steps == 1).all(), "a gap, or periods out of order"
    assert series.notna().all() and np.isfinite(series).all() and series.std() > 0
    assert len(window_items(series, 12, name)) > 50


def test_the_index_of_the_french_data_is_repaired():
    market = real_series("market")
    assert [str(market.index[i]) for i in (0, -1)] == ["1926-07", "2018-11"]
    assert market["1926-07"] == 2.96  # first line of the French library's file
    assert market["1987-10"] == pytest.approx(-23.2, abs=0.1)  # the crash of October 1987


@pytest.mark.parametrize(
    ("name", "rho"),
    [
        ("market", 0.109), ("smb", 0.058), ("hml", 0.206), ("inflation", 0.643),
        ("real_rate", 0.531), ("gdp_growth", 0.302), ("bill_rate", 0.958),
        ("unemployment", 0.988), ("default_spread", 0.977),
    ],
)
def test_persistence_agrees_with_the_literature_file(name, rho):
    x = real_series(name).to_numpy()
    slope = sm.OLS(x[1:], sm.add_constant(x[:-1])).fit().params[1]
    assert slope == pytest.approx(rho, abs=0.03)


def test_returns_compound_to_the_change_of_the_index():
    sp500 = real_series("sp500")
    from arch.data import sp500 as source

    close = source.load()["Adj Close"]
    weeks = close.groupby(close.index.to_period("W")).last()
    assert sp500.sum() == pytest.approx(100 * np.log(weeks.iloc[-1] / weeks.iloc[0]))


def test_catalogue_says_what_each_series_is():
    table = catalogue()
    assert len(table) >= 8
    assert set(table["package"].str.split().str[0]) == {"arch", "statsmodels"}
    text = ["title", "frequency", "unit", "transformation", "source", "licence", "first", "last"]
    assert table[text].map(len).gt(0).all(axis=None)
    assert (table["n"] == [len(real_series(n)) for n in table["name"]]).all()


def test_catalogue_covers_the_kinds_of_series_of_the_study_and_states_their_rights():
    table = catalogue().set_index("name")
    assert {
        "market", "smb", "hml", "sp500", "nasdaq", "oil", "core_inflation", "inflation",
        "default_spread", "real_rate", "gdp_growth", "unemployment", "bill_rate",
    } <= set(table.index)
    free = table["licence"].str.contains("public domain")
    kept = table["licence"].str.contains("do not redistribute")
    assert (free ^ kept).all()
    assert set(table.index[kept]) == {"market", "smb", "hml", "sp500", "nasdaq", "default_spread"}


def test_rights_of_the_macro_series_are_what_the_package_says():
    import statsmodels.datasets as data

    table = catalogue()
    for package in table.loc[table["package"].str.startswith("statsmodels"), "package"]:
        dataset = getattr(data, package.split("(")[1].rstrip(")"))
        assert "public domain" in dataset.COPYRIGHT


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="market"):
        real_series("marke")
