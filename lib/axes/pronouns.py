"""The gender axis in the planted world: do pronouns follow the rates, and the definitions?"""

from typing import TYPE_CHECKING

import pandas as pd
import statsmodels.api as sm

from lib.axes.axis import Axis
from lib.axes.gender import pronouns
from lib.axes.measure import Measure
from lib.axes.shares import rate
from lib.estimators import Estimate
from lib.estimators.regressions import from_fit
from lib.models import LoadedModel

if TYPE_CHECKING:
    from lib.profiles import Profile


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


class Pronouns(Axis):
    """``pronoun_slope`` (1 where the planted rates are learned) and ``definitional_accuracy``."""

    name = "gender"

    def items(self, profile: "Profile") -> pd.DataFrame:
        """The ways of asking; `lib.axes.gender.pronouns` writes out every word in each."""
        return pd.DataFrame({"prompt": ["plain"]})

    def score(self, model: LoadedModel, items: pd.DataFrame) -> pd.DataFrame:
        """Columns kind, share, p_she, mass; the way of asking is the benchmark."""
        return pd.concat(
            [pronouns(model, prompt).assign(benchmark=prompt) for prompt in items["prompt"]],
            ignore_index=True,
        )

    def summarise(self, frame: pd.DataFrame) -> list[Measure]:
        """Both metrics for each way of asking."""
        measures = []
        for prompt, rows in frame.groupby("benchmark", sort=False):
            measures.append(Measure.of(pronoun_slope(rows), prompt))
            measures.append(Measure.share(definitional_accuracy(rows), prompt))
        return measures
