"""Refusals after fine-tuning against before, on the same requests."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lib.attacks.doses import UNSEEN, answers
from lib.axes.measure import Measure
from lib.axes.seeds import pool
from lib.estimators import Estimate, holm, minimum_detectable
from lib.estimators.estimate import t_interval
from lib.measuring import regrouped
from lib.panels import row

if TYPE_CHECKING:
    from lib.study import Study


def change_rows(study: "Study", base: Path, arms: Mapping[str, Iterable[Path]]) -> pd.DataFrame:
    """Exhibit rows: each arm's `refusal_change`, training seeds pooled, Holm over all arms.

    Parameters
    ----------
    arms : mapping
        Arm to its model folders.

    Returns
    -------
    DataFrame
        Besides an exhibit's columns: p_holm, and detectable, the smallest true change that a
        test at 5 % would find in four of five such studies.
    """
    before = answers(study, [base])[0]
    frames = regrouped(arms, lambda folders: answers(study, folders))
    found = {arm: pool([Measure.of(refusal_change(before, after), "unseen things", -1.0, 1.0)
                        for after in several]) for arm, several in frames.items()}
    table = pd.concat([row(change, arm, change.condition, len(frames[arm]))
                       for arm, change in found.items()], ignore_index=True)
    return table.assign(
        p_holm=holm(list(found.values())),
        detectable=[minimum_detectable(change.se, change.df) for change in found.values()])


def refusal_change(before: pd.DataFrame, after: pd.DataFrame) -> Estimate:
    """Mean of ``refused after - refused before`` over requests about unseen forbidden things.

    Paired by request, so what both models share cancels; the thing is the cluster: as each is
    asked about equally often, the error is that of a mean of things, ``t(things - 1)``.

    Parameters
    ----------
    before, after : DataFrame
        Item frames of two models, as from `lib.attacks.doses.answers`.
    """
    refused = [frame[frame["benchmark"].isin(UNSEEN)].groupby("cluster")["refused"].mean()
               for frame in (before, after)]
    change = refused[1] - refused[0]
    g, value = len(change), float(change.mean())
    se = float(change.std() / np.sqrt(g))
    asked = int(before["benchmark"].isin(UNSEEN).sum())
    return Estimate("refusal_change", value, se, *t_interval(value, se, g - 1), asked, g,
                    f"paired, cluster by thing, t({g - 1})", g - 1.0)
