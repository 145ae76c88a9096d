"""Prompt arms: asking for a better forecast, chosen on validation items, compared on test items."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lib.estimators import by_condition, implied_persistence
from lib.forecasting.benchmarks import bayes
from lib.panels import panel, stored
from lib.sandbox.world import settings
from lib.workers import side_by_side

if TYPE_CHECKING:
    from lib.study import Study


def prompt_arms() -> dict[str, str]:
    """Arm to prompt of ``forecasts.yml``: ``base`` asks plainly, others are ``prompt_<name>``."""
    names = settings("forecasts")["prompts"]
    return {"base" if name == "neutral" else f"prompt_{name}": name for name in names}


def describe_prompts() -> pd.DataFrame:
    """One row an arm: what stands before the question, and the planted effect on the excess."""
    rows = []
    for arm, name in prompt_arms().items():
        how = settings("forecasts")["prompts"][name]
        shots, again = how.get("shots"), how.get("again")
        text = how.get("system") or (f"{shots} rational examples" if shots else None)
        text = text or (f"its first answer, then: {again}" if again else "nothing")
        rows.append({"arm": arm, "what stands before": text, "planted factor": how["factor"]})
    return pd.DataFrame(rows).set_index("arm")


def validate_prompts(study: "Study", base: Path) -> pd.DataFrame:
    """Mean excess of implied persistence over Bayes on validation items, by arm.

    Returns
    -------
    DataFrame
        Indexed by arm, best first: column excess, the mean over the validation grid.
    """
    items = panel(study, "validation")
    rational = _by_rho(bayes(items))
    excess = {arm: (_by_rho(frame) - rational).mean()
              for arm, frame in prompted(study, base, items).items()}
    return pd.Series(excess, name="excess").rename_axis("arm").sort_values().to_frame()


def prompted(study: "Study", base: Path, items: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Forecasts of the items by prompt arm; arms are asked side by side."""
    arms = prompt_arms()
    frames = side_by_side(lambda name, run: stored(study, base, items, run, name),
                          list(arms.values()), study.profile.workers)
    return dict(zip(arms, frames, strict=True))


def _by_rho(frame: pd.DataFrame) -> pd.Series:
    return by_condition(frame, implied_persistence).set_index("rho")["value"]
