"""What a correction does outside its training distribution: other processes, real series, stocks.

Tables of models are run tables; the forecasters beside them, who depend on no model, are rows of
exhibits.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from lib.chapters.overreaction import Models, forecasts_of, lag_table, real_panel
from lib.forecasting.learners import least_squares_real
from lib.forecasting.real import real_series
from lib.forecasting.stocks import past_regression, simulate_stocks, stock_items
from lib.forecasting.transfer import REGISTRY, Design, affine, equivariance_gap, transfer_items
from lib.measures.measured import run_table
from lib.statistics.comparison import compare
from lib.statistics.estimate import Estimate, Measure, measure_table, row, rows
from lib.statistics.lags import fama_macbeth
from lib.statistics.regressions import implied_persistence, implied_persistence_hac
from lib.study.notebook import Study

ROUNDS = 2
STOCKS, MONTHS, WARMUP = 60, 90, 60
LAGS = 12


def transfer_runs(study: Study, arms: Models, names: Sequence[str] = ()) -> pd.DataFrame:
    """Run table of every transfer set (`names`; all by default), which is the condition.

    ``implied_persistence``; ``over_reaction``, the same less that of the best forecaster with the
    same numbers; ``mse_ratio``, relative to that forecaster.
    """
    parts = []
    for name in names or REGISTRY:
        items = _set_items(study, name)
        table = partial(_set_table, name=name, feasible=REGISTRY[name].feasible(items))
        parts.append(run_table(forecasts_of(study, arms, items), table))
    return pd.concat(parts, ignore_index=True)


def rational_rows(study: Study, names: Sequence[str] = ()) -> pd.DataFrame:
    """Exhibit rows of the same sets: ``bayes``, who sees the same, and ``full_information``."""
    parts = []
    for name in names or REGISTRY:
        items = _set_items(study, name)
        feasible = REGISTRY[name].feasible(items)
        for arm, frame in {"bayes": feasible,
                           "full_information": REGISTRY[name].rational(items)}.items():
            parts += [row(found, arm, name)
                      for found in (mean_slope(frame), mse_ratio(frame, feasible))]
    return pd.concat(parts, ignore_index=True)


def _set_items(study: Study, name: str) -> pd.DataFrame:
    items = transfer_items(name, _design(study))
    # Processes without a rho are one cell; NaN would drop out of every grouping.
    return items.assign(cell=items["rho"].fillna(0.0))


def _design(study: Study) -> Design:
    given = study.profile.forecasting
    return Design(max(2, given.series // 2), ROUNDS, given.history, given.sigma, seed=study.seed)


def _set_table(frame: pd.DataFrame, name: str, feasible: pd.DataFrame) -> pd.DataFrame:
    return _table(name, mean_slope(frame), mean_gap(frame, feasible), mse_ratio(frame, feasible))


def _table(condition: str, *estimates: Estimate) -> pd.DataFrame:
    return measure_table(Measure.of(estimate, condition) for estimate in estimates)


def mean_slope(frame: pd.DataFrame) -> Estimate:
    """Mean of implied persistence over levels of rho."""
    return _over_cells("implied_persistence", frame, [
        implied_persistence(cell) for _, cell in frame.groupby("cell")])


def mean_gap(frame: pd.DataFrame, benchmark: pd.DataFrame) -> Estimate:
    """The same less that of a benchmark, paired on identical items."""
    gaps = compare(benchmark, frame, implied_persistence, "cell")
    return _over_cells("over_reaction", frame, [*gaps.values()])


def _over_cells(name: str, frame: pd.DataFrame, cells: Sequence[Estimate]) -> Estimate:
    """Mean over levels of rho; they share no series, so errors add."""
    value = float(np.mean([cell.value for cell in cells]))
    se = float(np.sqrt(sum(cell.se**2 for cell in cells)) / len(cells))
    return _normal(name, value, se, frame, "mean over rho, cluster by series")


def mse_ratio(frame: pd.DataFrame, reference: pd.DataFrame) -> Estimate:
    """Mean squared error over that of `reference` on the same items; delta method, by series."""
    errors = pd.DataFrame({
        "series": frame["series"].to_numpy(),
        "a": (frame["outcome"] - frame["forecast"]).to_numpy() ** 2,
        "b": (reference["outcome"] - reference["forecast"]).to_numpy() ** 2,
    })
    sums = errors.groupby("series")[["a", "b"]].sum()
    ratio, n = sums["a"].sum() / sums["b"].sum(), len(sums)
    residual = sums["a"] - ratio * sums["b"]
    # One real series has no other to vary with.
    se = np.nan if n == 1 else float(
        np.sqrt(n / (n - 1) * (residual**2).sum()) / sums["b"].sum())
    return _normal("mse_ratio", float(ratio), se, frame, "delta method, cluster by series")


def _normal(name: str, value: float, se: float, frame: pd.DataFrame, method: str) -> Estimate:
    n, clusters = len(frame), frame["series"].nunique()
    return Estimate(name, value, se, value - 1.96 * se, value + 1.96 * se, n, clusters, method)


def equivariance_runs(study: Study, arms: Models) -> pd.DataFrame:
    """Run table: root mean square of `equivariance_gap` over the sd of forecasts; 0 if rational."""
    items, parts = _inner(transfer_items("scale_half", _design(study))), []
    asked = forecasts_of(study, arms, items)
    for name, factor in (("sign_flipped", -1.0), ("scaled", 2.0)):
        moved = forecasts_of(study, arms, affine(items, factor))
        both = {arm: {run: (frame, moved[arm][run]) for run, frame in several.items()}
                for arm, several in asked.items()}
        parts.append(run_table(both, partial(_equivariance, name=name)))
    return pd.concat(parts, ignore_index=True)


def _inner(items: pd.DataFrame) -> pd.DataFrame:
    """Items whose numbers, doubled around 100, still are on the scale."""
    numbers = np.column_stack([np.stack(items["history"]), np.stack(items["previous_history"]),
                               items["outcome"]])
    return items[((numbers >= 51) & (numbers <= 149)).all(axis=1)].reset_index(drop=True)


def _equivariance(both: tuple[pd.DataFrame, pd.DataFrame], name: str) -> pd.DataFrame:
    found = equivariance_gap(*both)
    spread = float(found["forecast"].std())
    squares = found.assign(s=found["gap"] ** 2).groupby("series")["s"].mean()
    mean, se = float(squares.mean()), float(squares.std(ddof=1) / np.sqrt(len(squares)))
    rms = float(np.sqrt(mean)) / spread
    error = se / (2 * np.sqrt(mean) * spread) if mean else 0.0
    return _table(name, _normal("equivariance_rms", rms, error, found,
                                "delta method, cluster by series"))


def real_runs(study: Study, arms: Models, names: Sequence[str]) -> pd.DataFrame:
    """Run table of real series, the condition: HAC slopes, and errors over those of the learner."""
    parts = []
    for name in names:
        items = real_panel(study, name)
        learner = least_squares_real(items, real_series(name))
        table = partial(_real_table, name=name, learner=learner)
        parts.append(run_table(forecasts_of(study, arms, items), table))
    return pd.concat(parts, ignore_index=True)


def _real_table(frame: pd.DataFrame, name: str, learner: pd.DataFrame) -> pd.DataFrame:
    return _table(name, implied_persistence_hac(frame), mse_ratio(frame, learner))


def real_rows(study: Study, names: Sequence[str]) -> pd.DataFrame:
    """Exhibit rows beside them: what did come next, and the least-squares learner of its past."""
    parts = []
    for name in names:
        items = real_panel(study, name)
        learner = least_squares_real(items, real_series(name))
        for arm, frame in {"realised": items.assign(forecast=items["outcome"]),
                           "least_squares": learner}.items():
            parts.append(row(implied_persistence_hac(frame), arm, name))
    return pd.concat(parts, ignore_index=True)


def stock_tables(study: Study, arms: Models) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A cross-section of returns: weight on each past month, by Fama and MacBeth.

    Returns
    -------
    tuple of DataFrame
        The models' run table; and exhibit rows of ``realised``, what past returns did predict,
        and ``bayes``. The condition is the number of months back.
    """
    panel = simulate_stocks(STOCKS, MONTHS, seed=30_000 + study.seed)
    items = stock_items(panel, LAGS, warmup=WARMUP)
    beside = {"realised": fama_macbeth(items, LAGS, target="outcome"),
              "bayes": fama_macbeth(past_regression(items, panel.returns), LAGS)}
    found = run_table(forecasts_of(study, arms, items),
                      lambda frame: lag_table(fama_macbeth(frame, LAGS)))
    return found, pd.concat([rows(lag_table(lags), arm) for arm, lags in beside.items()])
