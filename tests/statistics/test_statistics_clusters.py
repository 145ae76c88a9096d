"""CR2 against its textbook, statsmodels where it has the special case, and simulation."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from estimator_frames import textbook_cr2
from scipy import stats

from lib.errors import InvalidValueError
from lib.statistics.clusters import NotDefinedError, clustered_fit

RNG = np.random.default_rng(0)
X = np.column_stack([np.ones(60), 1e3 + RNG.normal(size=60), 1e-6 * RNG.normal(size=60)])
Y = X @ [1.0, 2.0, 3e6] + RNG.normal(size=60)
SERIES = pd.Series(np.repeat(np.arange(12), 5), name="series")
SIZES = [1, 2, 3, 5, 8, 13, 20, 4, 4]
UNEQUAL = pd.Series(np.repeat(np.arange(9), SIZES), name="series")


def unequal_design(rng):
    """A constant, a regressor, a dummy that one series alone has, and one constant in series."""
    within = rng.normal(size=60) + UNEQUAL
    return np.column_stack([np.ones(60), within, UNEQUAL == 0, UNEQUAL % 2]).astype(float)


@pytest.mark.parametrize("seed", [1, 2])
def test_errors_and_degrees_of_freedom_equal_the_textbook(seed):
    rng = np.random.default_rng(seed)
    design, y = unequal_design(rng), rng.normal(size=60) + 0.3 * UNEQUAL.to_numpy()
    order = rng.permutation(60)
    found = clustered_fit(y[order], design[order], UNEQUAL[order])
    beta, se, df = textbook_cr2(y, design, UNEQUAL.to_numpy())
    assert found.params == pytest.approx(beta)
    assert found.bse == pytest.approx(se)
    assert found.df == pytest.approx(df)


def test_one_cluster_a_row_is_hc2_of_statsmodels():
    design = sm.add_constant(X[:, 1:] * [1e-3, 1e6])
    found = clustered_fit(Y, design, pd.Series(np.arange(60), name="row"))
    assert found.bse == pytest.approx(sm.OLS(Y, design).fit().HC2_se, rel=1e-6)


def test_the_mean_of_alike_clusters_is_the_t_test_of_their_means():
    found = clustered_fit(Y, np.ones((60, 1)), SERIES)
    means = pd.Series(Y).groupby(SERIES).mean()
    assert found.bse[0] == pytest.approx(stats.sem(means))
    assert found.df[0] == pytest.approx(11)


def test_the_variance_is_unbiased_and_t_covers_where_few_series_are_unequal():
    rng, hits, squares, values = np.random.default_rng(3), [], [], []
    design = np.column_stack([np.ones(60), UNEQUAL % 2])
    for _ in range(1500):
        fit = clustered_fit(rng.normal(size=60), design, UNEQUAL)
        hits.append(abs(fit.params[1]) <= stats.t.ppf(0.975, fit.df[1]) * fit.bse[1])
        squares.append(fit.bse[1] ** 2)
        values.append(fit.params[1])
    assert np.mean(squares) == pytest.approx(np.var(values), rel=0.12)
    assert 0.925 < np.mean(hits) < 0.98


def test_columns_of_any_scale_are_accepted_and_labels_do_not_matter():
    fit = clustered_fit(Y, X, SERIES)
    names = SERIES.map(lambda k: f"name {97 - k}")
    assert clustered_fit(Y, X, names).bse == pytest.approx(fit.bse)
    assert fit.params[1:] == pytest.approx([2.0, 3e6], rel=0.2)


def test_dependent_columns_are_not_defined():
    with pytest.raises(NotDefinedError, match="only 2 directions"):
        clustered_fit(Y, np.column_stack([X[:, :2], X[:, 1] - 5.0]), SERIES)


def test_one_cluster_is_refused_by_name():
    with pytest.raises(InvalidValueError, match="two values of month"):
        clustered_fit(Y, X, pd.Series(np.zeros(60), name="month"))
