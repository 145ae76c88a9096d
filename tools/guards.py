"""``side-effects guards``: what the shipped guards refuse, and how one is taught."""

import pandas as pd

from lib.chapters.guards import guard_answers, guard_table, teach
from lib.models.folders import load
from lib.statistics.estimate import interval_table
from lib.study.notebook import Study
from lib.study.progress import say
from lib.world.bases import base_model, unaligned_model
from lib.world.guards import made, shipped_guard


def taught(profile: str, number: int) -> str:
    """Teach guard `number` of the profile's public model; what it then refuses."""
    study = Study(profile)
    say(f"guard {number}: about 12 minutes on one core")
    teach(unaligned_model(study, number), study.profile.model.name, number)
    return _shown({f"guard {number}": pd.DataFrame(made(number)["shows"])})


def shown(profile: str, numbers: list[int], again: bool) -> str:
    """Share refused of each set of requests; as measured when taught, or `again` on this machine.

    The model without a guard stands beside them where they are measured again.
    """
    found = {f"guard {n}": pd.DataFrame(made(n)["shows"]) for n in numbers
             if shipped_guard(n).is_dir()}
    if again:
        study = Study(profile)
        folders = {"none": unaligned_model(study, 0)} | {
            f"guard {n}": base_model(study, n) for n in numbers}
        found = {name: guard_table(guard_answers(load(f))) for name, f in folders.items()}
    return _shown(found)


def _shown(found: dict[str, pd.DataFrame]) -> str:
    rows = pd.concat([table.assign(arm=name) for name, table in found.items()])
    return interval_table(rows.assign(asked=rows["metric"] + ", " + rows["condition"]),
                          "asked").to_string()
