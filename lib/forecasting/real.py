"""Real series that ship inside installed packages: a registry, nothing vendored or downloaded.

Licences: arch is NCSA and statsmodels BSD-3-Clause, which cover the packages; the note of each
series says what is known of the data.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.errors import EnvironmentProblem, UnknownNameError, require

_FRENCH = "(c) Fama and French, no open licence stated; load from the package, do not redistribute"
_YAHOO = "index prices, no data licence stated; load from the package, do not redistribute"
_FRED = "US government statistics by way of FRED, public domain"
_STATSMODELS = "public domain, as stated in statsmodels"


@dataclass(frozen=True)
class RealSeries:
    """One row of the registry; ``build`` turns the packaged table into the series."""

    name: str
    title: str
    package: str
    dataset: str
    frequency: str
    unit: str
    transformation: str
    source: str
    licence: str
    build: Callable[[pd.DataFrame], pd.Series]


def real_series(name: str) -> pd.Series:
    """A series of the registry in time order, without missing values, with a ``PeriodIndex``.

    Parameters
    ----------
    name : str
        A name that `catalogue` lists.

    Raises
    ------
    UnknownNameError, EnvironmentProblem
        Another name; a package that does not hold the data it should.
    """
    require(name in REGISTRY, f"one of {', '.join(REGISTRY)}", f"{name!r}",
            "see lib.forecasting.real.catalogue()", UnknownNameError)
    entry = REGISTRY[name]
    series = entry.build(_table(entry.package, entry.dataset)).dropna().astype(float)
    return series.rename(name)


def catalogue() -> pd.DataFrame:
    """One row a series: what it is, where it comes from, its licence, span and length."""
    rows = []
    for entry in REGISTRY.values():
        series = real_series(entry.name)
        fields = {k: v for k, v in vars(entry).items() if k not in ("build", "dataset")}
        fields["package"] = f"{entry.package} ({entry.dataset})"
        span = {"first": str(series.index[0]), "last": str(series.index[-1]), "n": len(series)}
        rows.append(fields | span)
    return pd.DataFrame(rows)


def _table(package: str, dataset: str) -> pd.DataFrame:
    """Table of a packaged data set, with its index as the package gives it."""
    module = {"arch": "arch.data", "statsmodels": "statsmodels.datasets"}[package]
    try:
        source = importlib.import_module(f"{module}.{dataset}")
        return source.load() if package == "arch" else source.load_pandas().data
    except (ImportError, OSError) as problem:
        raise EnvironmentProblem(
            f"the data set {dataset!r} inside the package {package}",
            str(problem),
            "install the versions of the lock: run ./run_all.sh or ./tests/run.sh",
        ) from problem


def _french(column: str) -> Callable[[pd.DataFrame], pd.Series]:
    def build(table: pd.DataFrame) -> pd.Series:
        # The file stores months as 192607, which pandas reads as nanoseconds since 1970.
        months = [str(stamp.value)[:6] for stamp in table.index]
        return table[column].set_axis(pd.PeriodIndex(months, freq="M"))

    return build


def _quarterly(
    column: str, growth: bool = False, drop: int = 0
) -> Callable[[pd.DataFrame], pd.Series]:
    def build(table: pd.DataFrame) -> pd.Series:
        year, quarter = table["year"].astype(int), table["quarter"].astype(int)
        series = table[column].set_axis(pd.PeriodIndex.from_fields(year=year, quarter=quarter))
        return 400 * np.log(series).diff() if growth else series.iloc[drop:]

    return build


def _monthly_change(column: str, scale: float) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda table: scale * np.log(table[column].set_axis(table.index.to_period("M"))).diff()


def _last_of(column: str, freq: str) -> Callable[[pd.DataFrame], pd.Series]:
    """Log return in percent between the last prices of whole periods."""

    def build(table: pd.DataFrame) -> pd.Series:
        prices = table[column].dropna()
        return 100 * np.log(prices.groupby(prices.index.to_period(freq)).last()).diff()

    return build


def _default_spread(table: pd.DataFrame) -> pd.Series:
    return (table["BAA"] - table["AAA"]).set_axis(table.index.to_period("M"))


def _yearly(year: str, column: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda table: table[column].set_axis(
        pd.PeriodIndex(table[year].astype(int).astype(str), freq="Y")
    )


_ROWS = (
    ("market", "US equity market less the bill rate", "arch", "frenchdata", "monthly",
     "percent a month", "none", "Kenneth French data library", _FRENCH, _french("Mkt-RF")),
    ("smb", "Small minus big portfolio", "arch", "frenchdata", "monthly",
     "percent a month", "none", "Kenneth French data library", _FRENCH, _french("SMB")),
    ("hml", "High minus low book-to-market portfolio", "arch", "frenchdata", "monthly",
     "percent a month", "none", "Kenneth French data library", _FRENCH, _french("HML")),
    ("sp500", "S&P 500 return", "arch", "sp500", "weekly", "percent a week",
     "100 times log difference of the week's last close", "Yahoo Finance", _YAHOO,
     _last_of("Adj Close", "W")),
    ("nasdaq", "NASDAQ composite return", "arch", "nasdaq", "monthly", "percent a month",
     "100 times log difference of the month's last close", "Yahoo Finance", _YAHOO,
     _last_of("Adj Close", "M")),
    ("oil", "WTI crude oil price change", "arch", "crude", "monthly", "percent a month",
     "100 times log difference", "US Energy Information Administration, by way of FRED", _FRED,
     _monthly_change("WTI", 100)),
    ("core_inflation", "US core consumer price inflation", "arch", "core_cpi", "monthly",
     "percent a year", "1200 times log difference", "Bureau of Labor Statistics CPILFESL, FRED",
     _FRED, _monthly_change("CPILFESL", 1200)),
    ("default_spread", "BAA less AAA corporate bond yield", "arch", "default", "monthly",
     "percentage points", "difference of the two yields", "Moody's, by way of FRED",
     "Moody's yields, no open licence stated; load from the package, do not redistribute",
     _default_spread),
    ("inflation", "US consumer price inflation", "statsmodels", "macrodata", "quarterly",
     "percent a year", "first quarter dropped (filled with 0)", "FRED", _STATSMODELS,
     _quarterly("infl", drop=1)),
    ("real_rate", "US ex-post real bill rate", "statsmodels", "macrodata", "quarterly",
     "percent a year", "first quarter dropped (filled with 0)", "FRED", _STATSMODELS,
     _quarterly("realint", drop=1)),
    ("gdp_growth", "US real GDP growth", "statsmodels", "macrodata", "quarterly",
     "percent a year", "400 times log difference", "FRED", _STATSMODELS,
     _quarterly("realgdp", growth=True)),
    ("unemployment", "US unemployment rate", "statsmodels", "macrodata", "quarterly",
     "percent", "none", "Bureau of Labor Statistics", _STATSMODELS,
     _quarterly("unemp")),
    ("bill_rate", "US three-month Treasury bill rate", "statsmodels", "macrodata", "quarterly",
     "percent a year", "none", "FRED", _STATSMODELS, _quarterly("tbilrate")),
    ("nile", "Flow of the Nile at Aswan", "statsmodels", "nile", "yearly",
     "100 million cubic metres", "none", "Cobb (1978), Biometrika 65", _STATSMODELS,
     _yearly("year", "volume")),
    ("sunspots", "Sunspot number", "statsmodels", "sunspots", "yearly", "spots",
     "none", "National Geophysical Data Center", _STATSMODELS, _yearly("YEAR", "SUNACTIVITY")),
)

REGISTRY = {row[0]: RealSeries(*row) for row in _ROWS}
"""Name to entry. Adding a series is one row here."""
