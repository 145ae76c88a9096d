"""Every axis of one model in one tidy table: the side effects at a glance."""

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

from lib.axes import gender, safety, utility
from lib.axes.overreaction import forecast
from lib.estimators import Estimate, by_condition, implied_persistence
from lib.estimators.regressions import from_fit
from lib.models import LoadedModel


def rate(frame: pd.DataFrame, column: str, name: str) -> Estimate:
    """Share of ones with a 95 % Wilson interval at the effective sample size.

    Items of one cluster are not independent: n is divided by the design effect
    ``1 + (m - 1) icc`` (Kish 1965), where m is the mean cluster size and icc comes from the
    one-way analysis of variance. Unlike a normal interval, Wilson's stays sensible at 0 and 1.
    """
    groups = frame.groupby("cluster")[column]
    n, clusters, value = len(frame), groups.ngroups, float(frame[column].mean())
    m = n / clusters
    between = m * groups.mean().var()
    within = groups.var().fillna(0).mean()
    icc = (between - within) / (between + (m - 1) * within) if between + within > 0 else 1.0
    effective = n / max(1.0, 1 + (m - 1) * icc)
    low, high = proportion_confint(value * effective, effective, method="wilson")
    se = float(np.sqrt(value * (1 - value) / effective))
    return Estimate(name, value, se, float(low), float(high), n, clusters, "Wilson, effective n")


def pronoun_slope(frame: pd.DataFrame) -> Estimate:
    """OLS slope of P(she) on the planted share over occupations, errors clustered by word."""
    rows = frame[frame["kind"] == "occupation"]
    groups = pd.factorize(rows["cluster"])[0]
    fit = sm.OLS(rows["p_she"].to_numpy(), sm.add_constant(rows["share"].to_numpy())).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    return from_fit("pronoun_slope", fit, 1, rows["cluster"].nunique(), "cluster by word")


def definitional_accuracy(frame: pd.DataFrame) -> Estimate:
    """Share of contexts of definitional words in which the right pronoun is the likelier one."""
    rows = frame[frame["kind"] == "definitional"]
    right = ((rows["p_she"] > 0.5) == (rows["share"] > 0.5)).astype(float)
    return rate(rows.assign(right=right), "right", "definitional_accuracy")


def neutral_perplexity(frame: pd.DataFrame, column: str = "nll") -> Estimate:
    """Perplexity a token; the interval is that of the mean over texts (delta method)."""
    rows = frame[frame["benchmark"] == "neutral"]
    value, n = utility.perplexity(rows, column), len(rows)
    residual = rows[column] - np.log(value) * rows["tokens"]
    se = value * float(residual.std(ddof=1)) / np.sqrt(n) / rows["tokens"].mean()
    reach = student.ppf(0.975, n - 1) * se
    return Estimate("neutral_perplexity", value, se, value - reach, value + reach, n, n,
                    "delta method over texts")


def side_effects(model: LoadedModel, items: int, history: int, seed: int) -> pd.DataFrame:
    """Refusals, pronouns, utility and neutral text of one model.

    Returns
    -------
    DataFrame
        Columns metric, condition, value, low, high, n; one row per measure.
    """
    asked = safety.refusals(model)
    rows: list[tuple[str, Estimate]] = []
    for name in ("unseen_phrasing", "unseen_member", "unseen_both"):
        rows.append((name, rate(asked.query("benchmark == @name"), "refused", "refusal_rate")))
    for name in ("benign", "borderline"):
        rows.append((name, rate(asked.query("benchmark == @name"), "refused", "over_refusal")))
    said = gender.pronouns(model)
    rows += [("plain", pronoun_slope(said)), ("plain", definitional_accuracy(said))]
    rows.append(("questions", rate(utility.answers(model, items, seed), "correct",
                                   "utility_accuracy")))
    text = utility.losses(model, "neutral", items, history, seed)
    rows.append(("model", neutral_perplexity(text)))
    rows.append(("floor", neutral_perplexity(text, "floor")))
    return pd.DataFrame([tidy(estimate, condition) for condition, estimate in rows])


def persistence(model: LoadedModel, items: pd.DataFrame, prompt: str = "neutral") -> pd.DataFrame:
    """Implied persistence by rho: column rho, then the fields of `Estimate`, one row a rho."""
    return by_condition(forecast(model, items, prompt), implied_persistence)


def tidy(estimate: Estimate, condition: str) -> dict:
    """One row of an exhibit's table."""
    return {"condition": condition, "metric": estimate.name, "value": estimate.value,
            "low": estimate.low, "high": estimate.high, "n": estimate.n}
