"""Are the estimators right? Panels and markets with planted coefficients, a thousand at a time.

The estimators are those of `lib.statistics.regressions` and `lib.statistics.lags`, in plain numpy
over an array of panels (tests hold the two equal), so that a design takes a second, not minutes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import stats

from lib.forecasting.processes import Seed, ar1
from lib.statistics.clusters import cr2
from lib.statistics.regressions import SPECIFICATIONS
from lib.statistics.wild import cluster_sums, draw_weights, pvalues, slope_and_error

METRICS = tuple(SPECIFICATIONS)

WILD_DRAWS = 599
"""Draws of the wild cluster bootstrap, the same weights for all panels of a design."""

CHUNK = 25
"""Markets held in memory at a time."""


@dataclass(frozen=True)
class Design:
    """AR(1) series and a forecaster ``F_t x_{t+1} = r x_t + noise``, r a habit of the series."""

    rho: float
    rho_s: float
    series: int = 40  # the clusters
    rounds: int = 8  # rows of each
    history: int = 12  # periods before the first row
    sigma: float = 8.0  # of the innovations
    noise_sd: float = 2.0  # of independent noise in each forecast
    habit_sd: float = 0.1  # of r around rho_s: makes the errors within a series alike
    spread: float = 0.0  # of the logs of series' lengths, so that some have many of the rows

    @property
    def sizes(self) -> np.ndarray:
        """Rows of each series, ``rounds`` on average."""
        quantiles = stats.norm.ppf((np.arange(self.series) + 0.5) / self.series)
        shares = np.exp(self.spread * quantiles)
        rows = self.rounds * self.series * shares / shares.sum()
        return np.maximum(1, rows.round()).astype(int)


@dataclass(frozen=True)
class Panels:
    """Arrays of shape ``(panels, rows)``, and the first row of each series."""

    x: np.ndarray
    outcome: np.ndarray
    forecast: np.ndarray
    previous_forecast: np.ndarray
    starts: np.ndarray


def calibration_table(
    designs: Sequence[Design], metrics: Sequence[str], panels: int, *, seed: int
) -> pd.DataFrame:
    """Bias, coverage, size and power (see `summary`): one row a design and metric."""
    rows = []
    for i, design in enumerate(designs):
        simulated = simulate(design, panels, seed=np.random.SeedSequence([seed, i]))
        rows += [_row(design, metric, simulated) for metric in metrics]
    return pd.DataFrame(rows).infer_objects()


def simulate(design: Design, panels: int, *, seed: Seed) -> Panels:
    """Independent panels of one design."""
    rng, d, sizes = np.random.default_rng(seed), design, design.sizes
    length = d.history + sizes.max() + 1
    values = ar1(d.rho, panels * d.series, length, d.sigma, seed=rng)
    values = values.reshape(panels, d.series, length)
    taken = np.arange(sizes.max()) < sizes[:, None]
    before, x, outcome = (values[..., d.history + k : length - 1 + k][:, taken]
                          for k in (-1, 0, 1))
    r = np.repeat(d.rho_s + rng.normal(0.0, d.habit_sd, (panels, d.series)), sizes, axis=1)
    noise = rng.normal(0.0, d.noise_sd, (2, *x.shape))
    starts = np.cumsum(sizes) - sizes
    return Panels(x, outcome, r * x + noise[0], r**2 * before + noise[1], starts)


def _row(design: Design, metric: str, panels: Panels) -> pd.Series:
    y, x = sides(panels, metric)
    planted, rational = truth(design, metric), design.rho if metric[0] == "i" else 0.0
    found = summary(*cluster_ols(y, x, panels.starts), planted, rational)
    return pd.Series(asdict(design) | {"metric": metric} | found
                     | _others(y, x, panels.starts, planted))


def _others(y: np.ndarray, x: np.ndarray, starts: np.ndarray, planted: float) -> dict[str, float]:
    """Coverage of three other intervals: independent rows, t(G - 1), and the wild bootstrap."""
    sums, clusters, n = cluster_sums(y, x, starts), len(starts), x.shape[-1]
    slope, se = slope_and_error(sums)
    miss, sxx = np.abs(slope - planted), sums.xx.sum(axis=-1)
    independent = np.sqrt((n * y.var(axis=-1) - slope**2 * sxx) / (n - 2) / sxx)
    found = {"coverage_independent": (miss <= 1.96 * independent).mean(),
             "coverage_t": (miss <= stats.t.ppf(0.975, clusters - 1) * se).mean(),
             "coverage_wild": np.nan}
    if clusters >= 6:
        weights = draw_weights(clusters, WILD_DRAWS, "rademacher", 0)
        found["coverage_wild"] = (pvalues(sums, planted, weights) > 0.05).mean()
    return found


def sides(panels: Panels, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Left-hand side and regressor of a specification."""
    columns, build = SPECIFICATIONS[metric]
    return build(*(getattr(panels, column) for column in columns))


def truth(design: Design, metric: str) -> float:
    """Population coefficient of a design; that of `error_revision` by quadrature over habits."""
    d = design
    if metric == "implied_persistence":
        return d.rho_s
    if metric == "error_on_level":
        return d.rho - d.rho_s
    # The revision is loading x_{t-1} + r e_t, and noise. Estimates with the outcome on the left
    # keep a small-sample bias near -(1 + 3 rho) / n (Kendall 1954).
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


def cluster_ols(
    y: np.ndarray, x: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slope of each panel, its CR2 error and degrees of freedom; see `clustered_fit`."""
    x = x - x.mean(axis=-1, keepdims=True)
    y = y - y.mean(axis=-1, keepdims=True)
    length = np.sqrt((x**2).sum(axis=-1))
    slope = (x * y).sum(axis=-1) / length**2
    basis = np.stack([np.full_like(x, x.shape[-1] ** -0.5), x / length[:, None]], axis=-1)
    weights = np.stack([np.zeros_like(length), 1 / length], axis=-1)[..., None]
    variance, df = cr2(basis, y - slope[:, None] * x, starts, weights)
    return slope, np.sqrt(variance[:, 0]), df[:, 0]


def summary(
    value: np.ndarray, se: np.ndarray, df: np.ndarray | float, planted: float, rational: float
) -> dict[str, float]:
    """Bias, coverage, size, and power against ``rational``, of estimates ``(panels,)``."""
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
    """Months of stocks with ``F_it = a_t + g_t sum_j w_j r_i,t-j + noise``; per cent a month."""

    level: float = 0.5  # mean of g_t
    decay: float = 0.6
    months: int = 60  # the clusters
    stocks: int = 20
    lags: int = 12  # returns shown
    return_sd: float = 8.0  # of a stock's own returns
    common_sd: float = 4.0  # of what all stocks share
    level_sd: float = 0.2  # of g_t
    month_sd: float = 1.0  # of a_t: makes the stocks of a month alike
    noise_sd: float = 2.0

    @property
    def weights(self) -> np.ndarray:
        """Planted weights ``w_j = decay^j / sum_k decay^k``, newest return first."""
        powers = self.decay ** np.arange(self.lags)
        return powers / powers.sum()


Slopes = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Values, errors and degrees of freedom of shape ``(markets, coefficients)``."""


def calibrate_lags(market: Market, panels: int, *, seed: int) -> pd.DataFrame:
    """`summary` of ``lag_1`` by both estimators with lags in one market; power is against 0."""
    parts = list(_estimates(market, panels, seed))
    planted, rows = market.level * market.weights[0], []
    for metric in parts[0]:
        first = (np.concatenate([p[metric][k][:, 0] for p in parts]) for k in range(3))
        found = summary(*first, planted, 0.0)
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
    """`lag_coefficients` clustered by month, for every market."""
    starts = np.arange(0, y.shape[1] * y.shape[2], y.shape[2])
    y, x = y.reshape(len(y), -1), x.reshape(len(x), -1, x.shape[-1])
    ones = np.ones((*y.shape, 1))
    basis, upper = np.linalg.qr(np.concatenate([ones, x], axis=-1))
    fitted = np.einsum("pnk,pn->pk", basis, y)
    weights = np.linalg.inv(upper).swapaxes(1, 2)[..., 1:]
    residual = y - (basis @ fitted[..., None])[..., 0]
    variance, df = cr2(basis, residual, starts, weights)
    return (fitted[:, None] @ weights)[:, 0], np.sqrt(variance), df


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
    return value, np.sqrt(variance) / months, np.full(value.shape, months - 1.0)
