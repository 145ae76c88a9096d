"""Are the estimators right? Panels and markets with planted coefficients, a thousand at a time.

The estimators are those of `lib.statistics.regressions` and `lib.statistics.lags`, written with
plain numpy over an array of panels (tests hold the two equal), so that a design takes a second and
not minutes. First the panels of AR(1) series, then the cross-sections of stocks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import stats

from lib.errors import require
from lib.forecasting.processes import Seed, ar1
from lib.statistics.wild import cluster_sums, draw_weights, pvalues

Metric = Literal["implied_persistence", "error_revision", "error_on_level"]
METRICS: tuple[Metric, ...] = get_args(Metric)

WILD_DRAWS = 599
"""Draws of the wild cluster bootstrap, the same weights for all panels of a design."""

CHUNK = 100
"""Markets held in memory at a time."""


@dataclass(frozen=True)
class Design:
    """A panel of AR(1) series and a forecaster with a planted habit.

    ``F_t x_{t+1} = r x_t + noise`` and ``F_{t-1} x_{t+1} = r^2 x_{t-1} + noise``, where r is
    ``rho_s`` plus a habit of the series drawn from ``N(0, habit_sd^2)``: what makes errors within
    a series alike, and clustering necessary. ``series`` are the clusters, ``rounds`` the rows of
    each, ``history`` the periods before the first row; ``sigma`` and ``noise_sd`` are the standard
    deviations of innovations, and of independent noise in each forecast.
    """

    rho: float
    rho_s: float
    series: int = 40
    rounds: int = 8
    history: int = 12
    sigma: float = 8.0
    noise_sd: float = 2.0
    habit_sd: float = 0.1


@dataclass(frozen=True)
class Panels:
    """Arrays of shape ``(panels, series, rounds)``."""

    x: np.ndarray
    outcome: np.ndarray
    forecast: np.ndarray
    previous_forecast: np.ndarray


def calibration_table(
    designs: Sequence[Design], metrics: Sequence[Metric], panels: int, *, seed: int
) -> pd.DataFrame:
    """Bias, coverage, size and power: one row a design and metric, a seed of its own a design.

    Columns: the design, ``metric``, and what `summary` returns. ``size`` is how often the planted
    value is rejected at 5 %, ``power`` how often rationality is (implied persistence = rho, else a
    slope of 0), which is a size where the planted forecaster is rational.
    ``coverage_independent`` is the coverage without clustering and ``coverage_wild`` that of
    the wild cluster bootstrap's interval (NaN with fewer than six series).
    """
    rows = []
    for i, design in enumerate(designs):
        simulated = simulate(design, panels, seed=np.random.SeedSequence([seed, i]))
        rows += [_row(design, metric, simulated) for metric in metrics]
    return pd.DataFrame(rows).infer_objects()


def simulate(design: Design, panels: int, *, seed: Seed) -> Panels:
    """Independent panels of one design."""
    rng, d = np.random.default_rng(seed), design
    length = d.history + d.rounds + 1
    values = ar1(d.rho, panels * d.series, length, d.sigma, seed=rng)
    values = values.reshape(panels, d.series, length)
    before, x, outcome = (values[..., d.history + k : length - 1 + k] for k in (-1, 0, 1))
    r = d.rho_s + rng.normal(0.0, d.habit_sd, (panels, d.series, 1))
    noise = rng.normal(0.0, d.noise_sd, (2, *x.shape))
    return Panels(x, outcome, r * x + noise[0], r**2 * before + noise[1])


def _row(design: Design, metric: Metric, panels: Panels) -> pd.Series:
    require(metric in METRICS, f"a metric among {', '.join(METRICS)}", f"{metric!r}", "choose one")
    y, x = sides(panels, metric)
    slope, se, se_independent = cluster_ols(y, x)
    planted, rational = truth(design, metric), design.rho if metric[0] == "i" else 0.0
    found = summary(slope, se, planted, rational, design.series - 1) | {
        "coverage_independent": (np.abs(slope - planted) <= 1.96 * se_independent).mean(),
        "coverage_wild": _wild_coverage(y, x, planted),
    }
    return pd.Series(asdict(design) | {"metric": metric} | found)


def sides(p: Panels, metric: Metric) -> tuple[np.ndarray, np.ndarray]:
    """Left-hand side and regressor, as `lib.statistics.regressions.SPECIFICATIONS` has them."""
    if metric == "implied_persistence":
        return p.forecast, p.x
    regressor = p.x if metric == "error_on_level" else p.forecast - p.previous_forecast
    return p.outcome - p.forecast, regressor


def truth(design: Design, metric: Metric) -> float:
    """Population coefficient of a design.

    ``rho_s`` for implied persistence, ``rho - rho_s`` for the error on the level (the newest value
    has all the weight). For error on revision, with ``x_t = rho x_{t-1} + e`` and V the variance of
    ``x_{t-1}``, the revision is ``(r rho - r^2) x_{t-1} + r e`` and::

        b = E[(rho - r)((r rho - r^2) rho V + r sigma^2) - s^2]
            / E[(r rho - r^2)^2 V + r^2 sigma^2 + 2 s^2]

    with expectations over the habits r (Gauss-Hermite quadrature). Slopes with the outcome on the
    left keep a small-sample bias near ``-(1 + 3 rho) / n``, n all rows (Kendall 1954).
    """
    d = design
    if metric == "implied_persistence":
        return d.rho_s
    if metric == "error_on_level":
        return d.rho - d.rho_s
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    r = d.rho_s + d.habit_sd * nodes
    loading = r * d.rho - r**2
    variance, s2 = _variance_before(d), d.noise_sd**2
    covariance = (d.rho - r) * (loading * d.rho * variance + r * d.sigma**2) - s2
    revision = loading**2 * variance + r**2 * d.sigma**2 + 2 * s2
    return float((weights @ covariance) / (weights @ revision))


def _variance_before(d: Design) -> float:
    """Variance of ``x_{t-1}``, averaged over rounds for the random walk (which starts at 0)."""
    if d.rho == 1:
        return d.sigma**2 * float(np.mean(d.history - 1 + np.arange(d.rounds)))
    return d.sigma**2 / (1 - d.rho**2)


def cluster_ols(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slope, clustered error and independent-rows error of each panel, shape ``(panels,)``.

    ``y`` and ``x`` have the shape ``(panels, series, rounds)``, a series is a cluster, and the
    intercept is estimated: ``se^2 = G/(G-1) (n-1)/(n-2) sum_g (sum_t x u)^2 / (sum x^2)^2``, x in
    deviations.
    """
    axes, groups, n = (1, 2), y.shape[1], y.shape[1] * y.shape[2]
    x = x - x.mean(axis=axes, keepdims=True)
    y = y - y.mean(axis=axes, keepdims=True)
    sxx = (x**2).sum(axis=axes)
    slope = (x * y).sum(axis=axes) / sxx
    residual = y - slope[:, None, None] * x
    scores = (x * residual).sum(axis=2)
    factor = groups / (groups - 1) * (n - 1) / (n - 2)
    se = np.sqrt(factor * (scores**2).sum(axis=1)) / sxx
    return slope, se, np.sqrt((residual**2).sum(axis=axes) / (n - 2) / sxx)


def _wild_coverage(y: np.ndarray, x: np.ndarray, planted: float) -> float:
    """Share of panels whose wild bootstrap does not reject the planted value."""
    if y.shape[1] < 6:
        return np.nan
    weights = draw_weights(y.shape[1], WILD_DRAWS, "rademacher", 0)
    return float((pvalues(cluster_sums(y, x), planted, weights) > 0.05).mean())


def summary(
    value: np.ndarray, se: np.ndarray, planted: float, rational: float, df: float
) -> dict[str, float]:
    """What a thousand estimates, shape ``(panels,)``, say about one estimator.

    ``truth``, ``bias`` with its simulation error ``bias_se``, ``sd`` of the estimates and
    ``mean_se`` (they should agree), ``coverage`` of the nominal 95 % interval, ``size``, ``power``
    against ``rational``, ``panels``.
    """
    critical, panels = stats.t.ppf(0.975, df), len(value)
    covered = np.abs(value - planted) <= critical * se
    return {
        "truth": planted,
        "bias": value.mean() - planted,
        "bias_se": value.std(ddof=1) / np.sqrt(panels),
        "sd": value.std(ddof=1),
        "mean_se": se.mean(),
        "coverage": covered.mean(),
        "size": (~covered).mean(),
        "power": (np.abs(value - rational) > critical * se).mean(),
        "panels": panels,
    }


@dataclass(frozen=True)
class Market:
    """Months of stocks whose forecasts load on past returns.

    ``F_{i,t} = a_t + g_t sum_j w_j r_{i,t-j} + noise``, where a_t and g_t (with mean ``level``)
    are drawn anew each month: what makes the stocks of a month alike. Returns are
    ``r_{i,t} = f_t + e_{i,t}`` with a common f. Months are the clusters; ``lags`` returns are
    shown. ``return_sd`` and ``common_sd`` are the standard deviations of e and f in percent a
    month, ``level_sd, month_sd, noise_sd`` those of g_t, a_t and the noise of each forecast.
    """

    level: float = 0.5
    decay: float = 0.6
    months: int = 60
    stocks: int = 20
    lags: int = 12
    return_sd: float = 8.0
    common_sd: float = 4.0
    level_sd: float = 0.2
    month_sd: float = 1.0
    noise_sd: float = 2.0

    @property
    def weights(self) -> np.ndarray:
        """Planted weights ``w_j = decay^j / sum_k decay^k``, newest return first."""
        powers = self.decay ** np.arange(self.lags)
        return powers / powers.sum()


@dataclass(frozen=True)
class Slopes:
    """Values and errors of shape ``(markets, coefficients)``."""

    value: np.ndarray
    se: np.ndarray


def calibrate_lags(market: Market, panels: int, *, seed: int) -> pd.DataFrame:
    """Bias, coverage, size and power of ``lag_1`` by both estimators with lags in one market.

    Columns: the market, ``metric`` (the estimator), and what `summary` returns; power is against 0.
    """
    parts = list(_estimates(market, panels, seed))
    planted, rows = market.level * market.weights[0], []
    for metric in parts[0]:
        value, se = (np.concatenate([getattr(p[metric], name)[:, 0] for p in parts])
                     for name in ("value", "se"))
        found = summary(value, se, planted, 0.0, market.months - 1)
        rows.append(asdict(market) | {"metric": metric} | found)
    return pd.DataFrame(rows)


def _estimates(market: Market, panels: int, seed: int) -> Iterator[dict[str, Slopes]]:
    """Slopes by each estimator, a chunk of markets at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, panels, CHUNK):
        y, x = simulate_markets(market, min(CHUNK, panels - start), seed=rng)
        yield {"lag_coefficients": pooled(y, x), "fama_macbeth": monthly(y, x)}


def simulate_markets(market: Market, panels: int, *, seed: Seed) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts ``(panels, months, stocks)`` and returns shown ``(.., lags)``, newest first."""
    m, rng = market, np.random.default_rng(seed)
    length = m.months + m.lags - 1
    returns = rng.normal(0.0, m.return_sd, (panels, m.stocks, length))
    returns += rng.normal(0.0, m.common_sd, (panels, 1, length))
    windows = np.lib.stride_tricks.sliding_window_view(returns, m.lags, axis=2)[..., ::-1]
    shown = np.ascontiguousarray(windows.swapaxes(1, 2))
    level = m.level + rng.normal(0.0, m.level_sd, (panels, m.months, 1))
    month = rng.normal(0.0, m.month_sd, (panels, m.months, 1))
    noise = rng.normal(0.0, m.noise_sd, shown.shape[:3])
    return month + level * (shown @ m.weights) + noise, shown


def pooled(y: np.ndarray, x: np.ndarray) -> Slopes:
    """`lag_coefficients` clustered by month, for every market; the constant counts as a column."""
    y, x = y - y.mean(axis=(1, 2), keepdims=True), x - x.mean(axis=(1, 2), keepdims=True)
    bread = np.linalg.inv(np.einsum("pmsi,pmsj->pij", x, x, optimize=True))
    cross = np.einsum("pmsi,pms->pi", x, y, optimize=True)
    value = (bread @ cross[..., None])[..., 0]
    residual = y - (x @ value[:, None, :, None])[..., 0]
    scores = (x * residual[..., None]).sum(axis=2)
    groups, n, k = scores.shape[1], x.shape[1] * x.shape[2], x.shape[-1] + 1
    factor = groups / (groups - 1) * (n - 1) / (n - k)
    cov = factor * bread @ (scores.swapaxes(1, 2) @ scores) @ bread
    return Slopes(value, np.sqrt(np.einsum("pii->pi", cov)))


def monthly(y: np.ndarray, x: np.ndarray) -> Slopes:
    """`fama_macbeth`, for every market."""
    y, x = y - y.mean(axis=2, keepdims=True), x - x.mean(axis=2, keepdims=True)
    cross = (x.swapaxes(2, 3) @ y[..., None])
    slopes = np.linalg.solve(x.swapaxes(2, 3) @ x, cross)[..., 0]
    months = slopes.shape[1]
    value = slopes.mean(axis=1)
    u = slopes - value[:, None]
    variance, lags = (u**2).sum(axis=1), int(4 * (months / 100) ** (2 / 9))
    for k in range(1, lags + 1):
        variance += 2 * (1 - k / (lags + 1)) * (u[:, k:] * u[:, :-k]).sum(axis=1)
    return Slopes(value, np.sqrt(variance) / months)
