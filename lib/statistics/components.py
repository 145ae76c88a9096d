"""What makes answers differ: arms, bases, runs or items; a mixed model of yes-or-no answers."""

import numpy as np
import pandas as pd
from scipy import sparse
from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

COMPONENTS = {"base": ["base"], "arm:base": ["arm", "base"], "run": ["arm", "base", "seed"],
              "item": ["item"]}
"""Random effects, and what makes a level of each; arms are fixed."""


def components(items: pd.DataFrame) -> pd.DataFrame:
    """Standard deviations of ``logit P = arm + base + arm:base + run + item``, in logits.

    Columns of ``items``: arm, base, seed, item, value (0 or 1). Limits are two posterior standard
    deviations of the logarithm. A binomial model, as many runs have all or no answers of a kind, of
    which a logit of means does not exist; its posterior is approximated (variational Bayes, which
    is fast, and some tenths too small where levels are few). Missing where all answers are alike.
    """
    effects = [_dummies(items.groupby(keys).ngroup()) for keys in COMPONENTS.values()]
    levels = [effect.shape[1] for effect in effects]
    if items["value"].nunique() < 2:
        gone = dict.fromkeys(("value", "low", "high"), np.nan)
        return pd.DataFrame({"component": list(COMPONENTS), **gone, "levels": levels})
    arms = _dummies(items.groupby("arm", sort=False).ngroup()).toarray()
    model = BinomialBayesMixedGLM(
        items["value"].to_numpy(float), arms, sparse.hstack(effects).tocsr(),
        np.repeat(np.arange(len(levels)), levels), vcp_p=1.0, fe_p=3.0)
    # The default optimizer keeps a dense matrix of all effects; the start is drawn.
    fit = model.fit_vb(fit_method="L-BFGS-B", minim_opts={"maxiter": 2000}, rng=0)
    limits = fit.vcp_mean + 2 * np.outer([0, -1, 1], fit.vcp_sd)
    value, low, high = np.exp(limits)
    return pd.DataFrame({"component": list(COMPONENTS), "value": value, "low": low, "high": high,
                         "levels": levels})


def _dummies(codes: pd.Series) -> sparse.csr_matrix:
    """One column a level."""
    rows = np.arange(len(codes))
    return sparse.csr_matrix((np.ones(len(codes)), (rows, codes)))
