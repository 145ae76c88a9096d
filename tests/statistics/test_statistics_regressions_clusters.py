"""The shared clustered regression, and its refusals."""

import numpy as np
import pandas as pd
import pytest

from lib.errors import InvalidValueError
from lib.statistics.regressions import NotDefinedError, clustered_fit

RNG = np.random.default_rng(0)
X = np.column_stack([np.ones(60), 1e3 + RNG.normal(size=60), 1e-6 * RNG.normal(size=60)])
Y = X @ [1.0, 2.0, 3e6] + RNG.normal(size=60)
SERIES = pd.Series(np.repeat(np.arange(12), 5), name="series")


def test_one_cluster_a_row_is_the_heteroskedasticity_robust_error():
    fit = clustered_fit(Y, X, pd.Series(np.arange(60), name="row"))
    centred = X - [0, 1e3, 0]
    bread = np.linalg.inv(centred.T @ centred)
    beta = bread @ centred.T @ Y
    meat = (centred * (Y - centred @ beta)[:, None] ** 2).T @ centred
    hc1 = np.sqrt(np.diag(bread @ meat @ bread) * 60 / 57)
    assert fit.bse[1:] == pytest.approx(hc1[1:], rel=1e-5)


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
