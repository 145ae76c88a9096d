"""Which runs the study consists of: every arm on every base model, with every training seed."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lib.study.streams import stream

if TYPE_CHECKING:
    from lib.study.profiles import Profile


class Run(NamedTuple):
    """One arm on one base model with one training seed; seed 0 is the base as it is."""

    base: int
    seed: int


def runs(profile: "Profile") -> list[Run]:
    """The profile's runs of an arm: arms are crossed with bases, which are what differs most."""
    given = profile.bases
    return [Run(base, seed) for base in given.numbers for seed in range(1, given.seeds + 1)]


def untrained(bases: Mapping[int, Path]) -> dict[Run, Path]:
    """The bases themselves, as an arm beside others."""
    return {Run(number, 0): folder for number, folder in bases.items()}


def training_seed(seed: int, run: Run) -> int:
    """What decides a run's data, their order and starting values: the same for all its arms."""
    return int(stream(seed, "training runs", *run).integers(2**31))
