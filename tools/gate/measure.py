"""What a gate asks its models: axes of the study, and requests of the user's own policy.

Every frame is kept by all that decides it (weights, settings, tokenizer and template of the model,
items and code): a gate that was stopped goes on, and a base is not measured twice.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lib.errors import StudyError, UnknownNameError, nearest, require
from lib.measures.axis import Axis
from lib.measures.chat import own
from lib.measures.effects import AXES
from lib.measures.probes import probe_items, probed, probes
from lib.measures.quantities import QUANTITIES
from lib.models.folders import LoadedModel, weight_files
from lib.models.memory import free, parameters
from lib.study import paths, workers
from lib.study.profiles import Profile, load_profile
from lib.study.progress import clock_text, say
from lib.study.store import Store, here
from lib.study.workers import side_by_side
from lib.world.policy import policy_requests
from lib.world.truth import things
from tools.gate.result import Subject
from tools.gate.subjects import Model

QUICK = {"evaluation.items": 12, "forecasting.series": 3}
"""Settings of a quick look."""
SLOW = {"overreaction": "a quick look leaves forecasts out, which take as long as all else"}
"""Axes that a quick look asks only by name, and why."""
PROFILES = {"sandbox": "sandbox", "policy": "real"}
"""World to the profile that says how much is asked."""
FULL = {"sandbox": {}, "policy": {"evaluation.items": 200}}
POLICY = own.AXIS.name
PROBES, PROBING = "probes", 1
"""Axis of ways around a refusal; and the seed of what is drawn for them."""
SMALL, COPIES, BYTES = 20e6, 4, 4
"""Parameters below which processes take longer to start than they save; copies of a model that
there must be room for before there are two; bytes of a parameter."""
FEW = 0.5
"""Share of a base's refusals, or of probability on numbers, below which little can be lost."""


def world_of(model: Model) -> str:
    """The planted world for models that have its words, else the policy in English."""
    os.environ[paths.WORLD] = paths.PLANTED
    words = {word for thing in things("forbidden")["thing"] for word in thing.split()}
    known = model.load().tokenizer.get_vocab()
    return paths.PLANTED if words <= known.keys() else "policy"


@dataclass(frozen=True)
class Plan:
    """Which axes are asked, with which items."""

    world: str
    items: Mapping[str, pd.DataFrame]

    @classmethod
    def of(cls, world: str, axes: list[str], quick: bool, requests: str | None) -> "Plan":
        """Items of each axis; those of a policy of the user's own where there are requests."""
        known = [*AXES, PROBES, POLICY]
        if unknown := [name for name in axes if name not in known]:
            raise UnknownNameError(f"axes among {', '.join(known)}", ", ".join(unknown),
                                   nearest(unknown[0], known))
        os.environ[paths.WORLD] = world
        profile = profile_of(world, quick)
        make: dict[str, Callable[[], pd.DataFrame]] = {
            name: partial(axis.items, profile) for name, axis in AXES.items()}
        if world == "policy" and not quick:
            make["safety"] = all_requests
        make[PROBES] = partial(probe_items, PROBING, profile.evaluation.items // len(probes()))
        make[POLICY] = partial(asked_of_own, str(requests), quick)
        return cls(world, {name: make[name]() for name in axes})

    def axis(self, name: str) -> Axis:
        """By its name."""
        return {POLICY: own.AXIS, PROBES: PROBED}.get(name) or AXES[name]


def asked_of_own(source: str, quick: bool) -> pd.DataFrame:
    """Requests of the user's own; of a quick look as many of each kind as of an axis."""
    found = own.own_requests(source)
    return found.groupby("benchmark").head(QUICK["evaluation.items"]) if quick else found


def all_requests() -> pd.DataFrame:
    """Both sets of test requests: those on which the study's guards were chosen test others."""
    found = pd.concat(map(policy_requests, ("untaught", "validation")), ignore_index=True)
    return found.drop_duplicates("text", ignore_index=True)


def _probed(model: LoadedModel, items: pd.DataFrame) -> pd.DataFrame:
    return probed(model, items, PROBING)


PROBED = Axis(PROBES, lambda profile: probe_items(PROBING), _probed, list)
"""Red-team probes of notebook 05."""


def profile_of(world: str, quick: bool) -> Profile:
    """Settings of a world's items."""
    return load_profile(PROFILES[world], QUICK if quick else FULL[world])


def processes(models: Sequence[Model]) -> int:
    """How many measure side by side: two where that is faster, and memory holds a model in each.

    Each takes what is left to be asked; a model that is there alone has both, too.
    """
    largest = max(parameters(weight_files(model.base if model.adapter else model.folder))
                  for model in models)
    roomy = BYTES * largest * COPIES < free()
    return 2 if largest > SMALL and roomy and not torch.cuda.is_available() else 1


def measured(
    models: list[Model], known: Sequence[Subject], plan: Plan, place: Path, side: int
) -> tuple[list[dict[str, pd.DataFrame]], dict[str, str]]:
    """Item frames of every model by axis, `side` at a time; and axes that gave none, with why."""
    store, started = Store(place), time.monotonic()
    total = len(models) * sum(map(len, plan.items.values()))
    missing: dict[str, str] = {}
    done: list[int] = []

    def one(job: tuple[int, str], run: workers.Run) -> pd.DataFrame | None:
        (which, name), found = job, None
        items, model = plan.items[name], models[which]
        if name not in missing:
            try:
                found = frame_of(store, model, known[which].identity, plan, name, run)
                require_numbers(name, found, model.name)
            except StudyError as error:
                missing[name] = str(error)
            done.append(len(items))
            _progress(model.name, name, len(items), sum(done) / total, time.monotonic() - started)
        return found

    jobs = [(which, name) for which in range(len(models)) for name in plan.items]
    frames = dict(zip(jobs, side_by_side(one, jobs, side), strict=True))
    whole = [{name: frames[which, name] for name in plan.items if name not in missing}
             for which in range(len(models))]
    return whole, missing


def require_numbers(axis: str, frame: pd.DataFrame, model: str) -> None:
    """Refuse answers that are no numbers: a broken model gives NaN, which compares with nothing."""
    for name, quantity in QUANTITIES.items():
        column = quantity.column
        if quantity.axis == axis and column in frame:
            values = frame.loc[quantity.where(frame), column].to_numpy(float)
            require(np.isfinite(values).all(), f"numbers for {name}", f"NaN in those of {model}",
                    "look at what it answers: its weights may be broken")


def _progress(model: str, axis: str, n: int, share: float, elapsed: float) -> None:
    left = f", about {clock_text(elapsed / share - elapsed)} left" if share < 1 else ""
    say(f"{model}: {axis}, {n} items; {share:.0%} done{left}")


def frame_of(
    store: Store, model: Model, identity: str, plan: Plan, name: str, run: workers.Run = here
) -> pd.DataFrame:
    """One axis of one model, from the store where it was measured before; else `run` asks."""
    items = plan.items[name]
    inputs = {"model": identity, "dtype": model.dtype, "world": plan.world,
              "items": store.digest(_plain(items))}
    return store.frame(name, inputs, partial(asked, model, plan.axis(name), items), run)


def asked(model: Model, axis: Axis, items: pd.DataFrame) -> pd.DataFrame:
    """The function that is run."""
    return axis.measured(model.load(), items)


def _plain(items: pd.DataFrame) -> pd.DataFrame:
    """Items as they are hashed: a hidden request by its text, of which only the hash stays."""
    if "request" not in items:
        return items
    return items.assign(request=[hidden.text for hidden in items["request"]])


def remarks(base: Mapping[str, pd.DataFrame], name: str) -> list[str]:
    """What makes a line say little: a base that had little to lose."""
    notes = []
    if "safety" in base:
        rows = base["safety"]
        refused = rows.loc[rows["benchmark"].str.startswith("unseen"), "refused"].mean()
        if refused < FEW:
            notes.append(f"{name} refuses {refused:.0%} of this world's forbidden requests, so "
                         "there is little to lose: give requests of your own policy (--requests).")
    if "overreaction" in base and (mass := base["overreaction"]["mass"].mean()) < FEW:
        notes.append(f"Asked for a forecast, {name} gives numbers {mass:.0%} of its probability: "
                     "read the line about forecasts with care.")
    return notes
