"""``side-effects guards``: what the guards of a real model refuse, and how one is taught."""

import pandas as pd

from lib.chapters.guards import guard_answers, guard_table, teach
from lib.models.folders import load
from lib.statistics.estimate import interval_table
from lib.study.notebook import Study
from lib.study.progress import say
from lib.world.bases import base_model, unaligned_model
from lib.world.guards import adapter_of, made


def taught(profile: str, number: int) -> str:
    """Teach guard `number` of the profile's public model; what it then refuses."""
    study = Study(profile)
    say(f"guard {number}: about 12 minutes on one core for 135 million parameters")
    adapter = teach(unaligned_model(study, number), study.profile.model.name, number)
    return _shown({f"guard {number}": pd.DataFrame(made(adapter)["shows"])})


def shown(profile: str, again: bool) -> str:
    """Share refused of each set of requests; as measured when taught, or `again` on this machine.

    The model without a guard stands beside them where they are measured again.
    """
    study = Study(profile)
    given = study.profile.bases
    adapters = {n: adapter_of(study.profile.model.name, n)
                for n in sorted([given.chosen_on, *given.numbers])}
    there = {n: adapter for n, adapter in adapters.items() if adapter.is_dir()}
    if not there:
        return (f"no guard of {study.profile.model.name} yet; teach one: "
                f"side-effects guards --profile {profile} --teach {given.chosen_on}")
    found = {f"guard {n}": pd.DataFrame(made(adapter)["shows"]) for n, adapter in there.items()}
    if again:
        folders = {"none": unaligned_model(study, given.chosen_on)} | {
            f"guard {n}": base_model(study, n) for n in there}
        found = {name: guard_table(guard_answers(load(f))) for name, f in folders.items()}
    return _shown(found)


def _shown(found: dict[str, pd.DataFrame]) -> str:
    rows = pd.concat([table.assign(arm=name) for name, table in found.items()])
    return interval_table(rows.assign(asked=rows["metric"] + ", " + rows["condition"]),
                          "asked").to_string()
