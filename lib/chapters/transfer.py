"""What a correction does outside its training distribution: one table over all transfer sets."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lib.chapters.overreaction import forecasts, forecasts_of
from lib.forecasting.stocks import past_regression, simulate_stocks, stock_items
from lib.forecasting.transfer import REGISTRY, Design, affine, equivariance_gap, transfer_items
from lib.statistics.comparison import compare, share_removed
from lib.statistics.estimate import Estimate, row
from lib.statistics.lags import fama_macbeth
from lib.statistics.pooling import combine, seed_row
from lib.statistics.regressions import implied_persistence
from lib.study.notebook import Study

ROUNDS = 2
STOCKS, MONTHS, WARMUP = 60, 90, 60
LAGS = 12

Arms = Mapping[str, Sequence[Path]]
"""Arm to the model folders of its training seeds."""


def transfer_rows(study: Study, arms: Arms, names: Sequence[str] = ()) -> pd.DataFrame:
    """Every transfer set: how each arm forecasts beside the rational and the feasible forecaster.

    The condition is the set (`names`; all by default). ``mse_ratio`` is relative to the feasible
    forecaster; ``share_removed``, against the arm ``base``, is empty where that arm's excess is not
    beyond its error.
    """
    parts = [_set_rows(study, arms, name) for name in names or REGISTRY]
    return pd.concat(parts, ignore_index=True)


def _set_rows(study: Study, arms: Arms, name: str) -> pd.DataFrame:
    items = transfer_items(name, _design(study))
    # Processes without a rho are one cell; NaN would drop out of every grouping.
    items = items.assign(cell=items["rho"].fillna(0.0))
    feasible, rational = REGISTRY[name].feasible(items), REGISTRY[name].rational(items)
    answered = forecasts_of(study, arms, items)
    frames = answered | {"bayes": [feasible], "full_information": [rational]}
    parts = []
    for arm, several in frames.items():
        parts.append(seed_row([mean_slope(f) for f in several], arm, name))
        parts.append(seed_row([mse_ratio(f, feasible) for f in several], arm, name))
        if arm in arms and arm != "base":
            parts.append(row(_removed(answered["base"][0], several, feasible), arm, name,
                             len(several)))
    return pd.concat(parts, ignore_index=True)


def _design(study: Study) -> Design:
    given = study.profile.forecasting
    return Design(max(2, given.series // 2), ROUNDS, given.history, given.sigma, seed=study.seed)


def mean_slope(frame: pd.DataFrame) -> Estimate:
    """Mean over levels of rho of implied persistence; levels share no series, so errors add."""
    cells = [implied_persistence(cell) for _, cell in frame.groupby("cell")]
    value = float(np.mean([c.value for c in cells]))
    se = float(np.sqrt(sum(c.se**2 for c in cells)) / len(cells))
    return _normal("implied_persistence", value, se, frame, "mean over rho, cluster by series")


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
    se = float(np.sqrt(n / (n - 1) * (residual**2).sum()) / sums["b"].sum())
    return _normal("mse_ratio", float(ratio), se, frame, "delta method, cluster by series")


def _normal(name: str, value: float, se: float, frame: pd.DataFrame, method: str) -> Estimate:
    n, clusters = len(frame), frame["series"].nunique()
    return Estimate(name, value, se, value - 1.96 * se, value + 1.96 * se, n, clusters, method)


def _removed(
    before: pd.DataFrame, after: Sequence[pd.DataFrame], feasible: pd.DataFrame
) -> Estimate:
    """Share removed, where there is an excess to speak of: a share of next to nothing explodes."""
    gaps = [compare(rows, before[before["cell"] == cell], implied_persistence)
            for cell, rows in feasible.groupby("cell")]
    excess = sum(gap.value for gap in gaps)
    if not excess > 1.96 * float(np.sqrt(sum(gap.se**2 for gap in gaps))):
        return Estimate("share_removed", *[float("nan")] * 4, len(before), 0, "no clear excess")
    return combine([share_removed(before, f, feasible, by="cell") for f in after])


def equivariance_rows(study: Study, arms: Arms) -> pd.DataFrame:
    """Root mean square of `equivariance_gap` over the sd of forecasts; zero if rational."""
    items, parts = _inner(transfer_items("scale_half", _design(study))), []
    for name, factor in (("sign_flipped", -1.0), ("scaled", 2.0)):
        moved = affine(items, factor)
        for arm, folders in arms.items():
            found = equivariance_gap(forecasts(study, folders[0], items),
                                     forecasts(study, folders[0], moved))
            parts.append(row(_rms(found), arm, name))
    return pd.concat(parts, ignore_index=True)


def _inner(items: pd.DataFrame) -> pd.DataFrame:
    """Items whose numbers, doubled around 100, still are on the scale."""
    numbers = np.column_stack([np.stack(items["history"]), np.stack(items["previous_history"]),
                               items["outcome"]])
    return items[((numbers >= 51) & (numbers <= 149)).all(axis=1)].reset_index(drop=True)


def _rms(found: pd.DataFrame) -> Estimate:
    spread = float(found["forecast"].std())
    squares = found.assign(s=found["gap"] ** 2).groupby("series")["s"].mean()
    mean, se = float(squares.mean()), float(squares.std(ddof=1) / np.sqrt(len(squares)))
    rms = float(np.sqrt(mean)) / spread
    error = se / (2 * np.sqrt(mean) * spread) if mean else 0.0
    return _normal("equivariance_rms", rms, error, found, "delta method, cluster by series")


def stock_rows(study: Study, arms: Arms) -> pd.DataFrame:
    """A cross-section of returns: weight on each past month, by Fama and MacBeth.

    Beside the models: ``realised``, what past returns did predict, and ``bayes``.
    """
    panel = simulate_stocks(STOCKS, MONTHS, seed=30_000 + study.seed)
    items = stock_items(panel, LAGS, warmup=WARMUP)
    parts = [_lag_rows([fama_macbeth(items, LAGS, target="outcome")], "realised"),
             _lag_rows([fama_macbeth(past_regression(items, panel.returns), LAGS)], "bayes")]
    for arm, frames in forecasts_of(study, arms, items).items():
        parts.append(_lag_rows([fama_macbeth(frame, LAGS) for frame in frames], arm))
    return pd.concat(parts, ignore_index=True)


def _lag_rows(several: Sequence[list[Estimate]], arm: str) -> pd.DataFrame:
    """One row a lag; seeds pooled. The condition is the number of months back."""
    parts = [seed_row(lag, arm, k).assign(metric="lag_coefficient")
             for k, lag in enumerate(zip(*several, strict=True), start=1)]
    return pd.concat(parts, ignore_index=True)
