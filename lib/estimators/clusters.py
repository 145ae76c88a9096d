"""Least squares with errors clustered by a column: what estimators with several slopes share."""

import numpy as np
import pandas as pd
import statsmodels.api as sm
from statsmodels.regression.linear_model import RegressionResultsWrapper

from lib.errors import InvalidValueError
from lib.estimators.columns import NotDefinedError


def clustered_fit(
    y: np.ndarray, design: np.ndarray, clusters: pd.Series
) -> RegressionResultsWrapper:
    """statsmodels OLS with errors clustered by ``clusters``, ready for t(G - 1).

    ``V = G/(G-1) (n-1)/(n-k) (X'X)^-1 [sum_g X_g' u_g u_g' X_g] (X'X)^-1`` (Liang and Zeger 1986,
    with Stata's small-sample factor). Fewer clusters than columns leave each error valid, but no
    joint test of all columns.

    Parameters
    ----------
    y, design : ndarray, shapes (rows,) and (rows, k)
        ``design`` holds its own constant.
    clusters : Series
        Label of each row; its name appears in messages.

    Raises
    ------
    InvalidValueError
        Fewer than two clusters.
    NotDefinedError
        Columns that are linearly dependent.
    """
    groups = pd.factorize(clusters)[0]
    if groups.max() < 1:
        raise InvalidValueError(
            f"at least two values of {clusters.name} to cluster by", "one", "evaluate more of them"
        )
    scaled = design / np.maximum(np.linalg.norm(design, axis=0), np.finfo(float).tiny)
    rank = np.linalg.matrix_rank(scaled, tol=1e-9)
    if rank < design.shape[1]:
        raise NotDefinedError(
            f"{design.shape[1]} regressors that vary independently",
            f"only {rank} directions in {len(y)} rows",
            "use fewer lags, or more rows; a constant series identifies nothing",
        )
    return sm.OLS(y, design).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
