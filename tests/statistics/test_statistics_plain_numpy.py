"""Every coefficient and its error a second time, in plain numpy: no statsmodels, no ``lib`` inside.

What is imported from ``lib`` is only what is checked, and the frames that it is checked on.
"""

import numpy as np
import pytest
from estimator_frames import ar1_frame, market_frame

from lib.forecasting.forecasters import HUMANS, adaptive, add_noise, misperceived
from lib.forecasting.frames import ar1_items
from lib.statistics.comparison import compare
from lib.statistics.innovations import error_on_innovation, with_innovation
from lib.statistics.lags import decay_weights, fama_macbeth, lag_coefficients
from lib.statistics.regressions import error_on_level, error_revision, implied_persistence


@pytest.fixture(scope="module")
def frame():
    items = ar1_items([0.2, 0.8], series=20, rounds=6, history=14, sigma=8.0, seed=5)
    return add_noise(misperceived(items, HUMANS), 3.0, seed=6)


@pytest.fixture(scope="module")
def market():
    return market_frame(seed=3, months=40, stocks=25)


def ols(y, design):
    return np.linalg.solve(design.T @ design, design.T @ y)


def stata(y, design, groups):
    """Sandwich with the factor G/(G-1) (n-1)/(n-k), cluster by cluster."""
    beta = ols(y, design)
    residual, bread = y - design @ beta, np.linalg.inv(design.T @ design)
    meat = np.zeros_like(bread)
    for g in sorted(set(groups)):
        score = design[groups == g].T @ residual[groups == g]
        meat += np.outer(score, score)
    (n, k), clusters = design.shape, len(set(groups))
    cov = clusters / (clusters - 1) * (n - 1) / (n - k) * bread @ meat @ bread
    return beta, np.sqrt(np.diag(cov))


def linearmodels_style(y, design, groups):
    """The same in the moment form of linearmodels: S of the mean score, group debiased, debiased.

    ``V = (X'X/n)^-1 S (X'X/n)^-1 / n``, ``S = G/(G-1) (n-1)/n sum_g s_g s_g' / n`` and then
    ``n/(n-k)`` for the degrees of freedom.
    """
    n, k = design.shape
    beta = np.linalg.pinv(design) @ y
    scores = design * (y - design @ beta)[:, None]
    labels, index = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(labels), k))
    np.add.at(sums, index, scores)
    s = len(labels) / (len(labels) - 1) * (n - 1) / n * sums.T @ sums / n
    inverse = np.linalg.inv(design.T @ design / n)
    cov = n / (n - k) * inverse @ s @ inverse / n
    return beta, np.sqrt(np.diag(cov))


def with_constant(*columns):
    return np.column_stack([np.ones(len(columns[0])), *columns])


def column(frame, name):
    return np.array([float(v) for v in frame[name]])


def sides(frame, name):
    """Left-hand side and regressor of each one-regressor estimator, from the formulas."""
    x, forecast = column(frame, "x"), column(frame, "forecast")
    error = column(frame, "outcome") - forecast
    before = np.array([h[-1] for h in frame["previous_history"]], dtype=float)
    innovation = x - column(frame, "mu") - column(frame, "rho") * (before - column(frame, "mu"))
    return {
        "implied_persistence": (forecast, x),
        "error_revision": (error, forecast - column(frame, "previous_forecast")),
        "error_on_level": (error, x),
        "error_on_innovation": (error, innovation),
    }[name]


SLOPES = [implied_persistence, error_revision, error_on_level, error_on_innovation]


@pytest.mark.parametrize("formula", [stata, linearmodels_style])
@pytest.mark.parametrize("estimator", SLOPES)
def test_one_regressor(frame, estimator, formula):
    y, x = sides(frame, estimator.__name__)
    beta, se = formula(y, with_constant(x), frame["series"].to_numpy())
    found = estimator(frame)
    assert [found.value, found.se] == pytest.approx([beta[1], se[1]], rel=1e-9)
    assert (found.n, found.clusters) == (len(frame), 40)


@pytest.mark.parametrize("estimator", SLOPES)
def test_stacked_change(frame, estimator):
    after = misperceived(frame, lambda rho: rho + 0.1)
    after = add_noise(after, 2.0, seed=8)
    y, x = (np.concatenate(s) for s in zip(*(sides(f, estimator.__name__) for f in (frame, after)),
                                          strict=True))  # fmt: skip
    post = np.repeat([0.0, 1.0], len(frame))
    beta, se = stata(y, with_constant(post, x, post * x), np.tile(frame["series"], 2))
    before, after = with_innovation(frame), with_innovation(after)
    found = compare(before, after, estimator)
    assert [found.value, found.se] == pytest.approx([beta[3], se[3]], rel=1e-8)


@pytest.mark.parametrize("formula", [stata, linearmodels_style])
@pytest.mark.parametrize("lags", [1, 4, 12])
def test_lag_coefficients(frame, lags, formula):
    history = np.array([list(h) for h in frame["history"]], dtype=float)
    newest_first = [history[:, -k] for k in range(1, lags + 1)]
    beta, se = formula(
        column(frame, "forecast"), with_constant(*newest_first), frame["series"].to_numpy()
    )
    found = lag_coefficients(frame, lags)
    assert [e.name for e in found] == [f"lag_{k}" for k in range(1, lags + 1)]
    assert [e.value for e in found] == pytest.approx(beta[1:], rel=1e-7)
    assert [e.se for e in found] == pytest.approx(se[1:], rel=1e-7)


def test_lag_coefficients_by_month(market):
    history = np.array(market["history"].tolist())[:, ::-1]
    groups = market["month"].astype(str).to_numpy()
    beta, se = stata(column(market, "forecast"), with_constant(*history.T), groups)
    found = lag_coefficients(market, 12, cluster="month")
    assert [e.value for e in found] == pytest.approx(beta[1:], rel=1e-8)
    assert [e.se for e in found] == pytest.approx(se[1:], rel=1e-8)
    assert {(e.clusters, e.df) for e in found} == {(40, 39)}


def decayed(theta, history):
    weights = theta[2] ** np.arange(history.shape[1])
    return theta[0] + theta[1] * history @ (weights / weights.sum())


def gauss_newton(y, history, theta):
    """Nonlinear least squares with a Jacobian by central differences."""
    for _ in range(50):
        jacobian = numerical_jacobian(theta, history)
        step = ols(y - decayed(theta, history), jacobian)
        theta = theta + step
        if np.abs(step).max() < 1e-12:
            break
    return theta, numerical_jacobian(theta, history)


def numerical_jacobian(theta, history, h=1e-5):
    shifts = h * np.eye(3)
    return np.column_stack(
        [(decayed(theta + s, history) - decayed(theta - s, history)) / (2 * h) for s in shifts]
    )


def check_decay(frame, cluster, start):
    history = np.array([list(h)[::-1][:12] for h in frame["history"]], dtype=float)
    y, groups = column(frame, "forecast"), frame[cluster].astype(str).to_numpy()
    theta, jacobian = gauss_newton(y, history, np.array(start))
    residual = y - decayed(theta, history)
    _, se = stata(residual + jacobian @ theta, jacobian, groups)
    level, rate = decay_weights(frame, 12, cluster)
    assert [level.value, rate.value] == pytest.approx(theta[1:], rel=1e-6, abs=1e-8)
    assert [level.se, rate.se] == pytest.approx(se[1:], rel=1e-5)
    return theta


def test_decay_weights_by_series():
    items = ar1_frame(0.4, series=40, rounds=6, history=12, seed=2)
    theta = check_decay(add_noise(adaptive(items, 0.5), 1.0, seed=1), "series", [0.0, 1.0, 0.4])
    assert theta[2] == pytest.approx(0.5, abs=0.05)


def test_decay_weights_by_month(market):
    theta = check_decay(market, "month", [0.0, 0.5, 0.5])
    assert theta[2] == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize("target", ["forecast", "outcome"])
@pytest.mark.parametrize(("maxlags", "expected"), [(None, 3), (0, 0), (6, 6)])
def test_fama_macbeth(market, target, maxlags, expected):
    slopes = []
    for _, month in market.sample(frac=1, random_state=2).groupby("month"):
        history = np.array(month["history"].tolist())[:, ::-1]
        slopes.append(ols(column(month, target), with_constant(*history.T))[1:])
    slopes = np.array(slopes)
    months, mean = len(slopes), slopes.mean(axis=0)
    u = slopes - mean
    s = u.T @ u / months  # linearmodels' kernel covariance of a mean, without debiasing
    for k in range(1, expected + 1):
        gamma = u[k:].T @ u[:-k] / months
        s += (1 - k / (expected + 1)) * (gamma + gamma.T)
    found = fama_macbeth(market, target=target, maxlags=maxlags)
    assert [e.value for e in found] == pytest.approx(mean, rel=1e-9, abs=1e-12)
    assert [e.se for e in found] == pytest.approx(np.sqrt(np.diag(s) / months), rel=1e-9)
    assert all(f"HAC({expected})" in e.method for e in found)
