"""Runs of the study: arms crossed with bases, one training seed for all arms of a run."""

from pathlib import Path

import pytest

from lib.study.design import Run, runs, training_seed, untrained
from lib.study.profiles import load_profile


def test_every_base_is_crossed_with_every_seed():
    profile = load_profile("smoke", {"bases.numbers": [3, 1], "bases.seeds": 2})
    assert runs(profile) == [(3, 1), (3, 2), (1, 1), (1, 2)]


@pytest.mark.parametrize(("name", "number"), [("sandbox", 4), ("reference", 24)])
def test_runs_of_an_arm_and_none_on_the_base_for_choosing(name, number):
    profile = load_profile(name)
    assert len(set(runs(profile))) == number
    assert profile.bases.chosen_on not in {run.base for run in runs(profile)}


def test_a_base_as_it_is_has_a_seed_that_no_training_has():
    found = untrained({2: Path("two"), 5: Path("five")})
    assert found == {Run(2, 0): Path("two"), Run(5, 0): Path("five")}
    assert not set(found) & set(runs(load_profile("reference")))


def test_a_training_seed_differs_between_runs_and_studies_and_never_changes():
    profile = load_profile("reference")
    seeds = {(seed, run): training_seed(seed, run) for seed in (1, 2) for run in runs(profile)}
    assert len(set(seeds.values())) == 48
    assert seeds == {key: training_seed(*key) for key in seeds}
    assert all(0 <= seed < 2**31 for seed in seeds.values())


def test_more_bases_or_seeds_leave_a_runs_seed_alone():
    small, large = (set(runs(load_profile(name))) for name in ("sandbox", "reference"))
    assert small < large  # the seed hangs on the run alone
