"""Tolerances measured from simulated reruns: what is smooth, what is a coin, what never moves."""

import numpy as np
import pandas as pd
import pytest
import simulated_runs as world
import yaml

from tools.reference import compare_tables, load_strays, load_tolerances, too_many_strays
from tools.tolerances import measured, strays, write_tolerances


@pytest.fixture
def measure(tmp_path):
    """Tolerances of the simulated world from some reruns of it."""
    def call(reruns=4):
        runs = [world.save(tmp_path / f"run{i}", arithmetic=i, seeds=2, numbers=range(1, 13))
                for i in range(reruns + 1)]
        said = write_tolerances(runs, tmp_path / "tolerances.yml")
        return load_tolerances(tmp_path / "tolerances.yml"), said, tmp_path / "tolerances.yml"

    return call


def test_a_smooth_metric_gets_twice_the_largest_distance(measure):
    limits, said, path = measure()
    # A difference of two draws with sd .004 each; of 192 * 4 of them the largest, doubled.
    assert 2 * 2.5 * 0.0057 < limits["03_runs"]["slope"].absolute < 2 * 5 * 0.0057
    assert limits["03_runs"]["slope"].of == 0
    assert said.startswith("3 tolerances from 5 runs, 1 of them coins")
    written = yaml.safe_load(path.read_text())["measured"]
    assert [made["MKL_CBWR"] for made in written] == ["COMPATIBLE"] * 5


def test_a_coin_is_marked_with_the_share_of_runs_that_fell(measure):
    """Both sides may turn: 2 * .05 * .95 of the 24 runs of one arm in three, 60 runs in all."""
    coin = measure()[0]["03_runs"]["refusal_rate"]
    assert coin.absolute == 0.25 and coin.of == 4 * 60
    assert 0.01 < coin.beyond < 0.08


def rerun(distance, number):
    """A rerun of one base that is so far from the first."""
    return pd.DataFrame({
        "arm": "lora", "base": "1", "seed": "1", "rerun": number, "metric": [f"m{i}" for i in "ab"],
        "condition": "", "value": np.array([1.0, 2.0]) + distance, "value_committed": [1.0, 2.0],
        "n": 40, "least": -np.inf, "most": np.inf, "_order": 0})


def test_strays_are_what_one_rerun_does_beyond_the_others_doubled():
    """Distances .01, .02 and .03, .01: doubled, the largest of the others is .02 to .06."""
    pairs = pd.concat([rerun(np.array([0.01, 0.02]), "0"), rerun(np.array([0.03, 0.01]), "1")])
    # Of rerun 1 one cell of two is .03 from a tolerance of .02, of rerun 0 .02 from .02 is not.
    assert strays([pairs]) == {"share": 1.0, "times": 3.0}


def test_a_single_rerun_shows_no_strays(measure):
    assert strays([rerun(0.01, "0")]) == {"share": 0.0, "times": 1.0}
    written = yaml.safe_load(measure(1)[2].read_text())["strays"]
    assert written == {"share": 0.0, "times": 1.0}


def test_a_rerun_of_the_measured_kind_agrees_within_tolerances_and_strays(measure, tmp_path):
    """Three reruns measure; each of forty more is as they were."""
    limits, _, path = measure(3)
    allowed, first = load_strays(path), world.run_table(range(1, 13), 2)
    assert allowed.share < 0.05
    for arithmetic in range(100, 140):
        found = compare_tables("03_runs", world.run_table(range(1, 13), 2, arithmetic), first,
                               limits, strays=allowed)
        assert found.lines == () and too_many_strays([found], allowed) == []


def test_a_table_without_runs_is_measured_too(measure):
    assert 0 < measure()[0]["01_plain"]["persistence"].absolute < 2e-4


def cells(first, *others, n=40, least=np.nan, most=np.nan):
    """One metric of one run each, beside the first run's."""
    return pd.concat([pd.DataFrame({
        "arm": "lora", "base": [str(k) for k in range(len(first))], "seed": "1", "rerun": str(i),
        "metric": "m", "condition": "", "value": other, "value_committed": first, "n": n,
        "least": least, "most": most, "_order": 0}) for i, other in enumerate(others)])


def test_a_share_that_never_moved_may_move_by_two_items():
    assert measured(cells([1.0, 0.5], [1.0, 0.5], least=0.0, most=1.0)) == {"absolute": 0.05}


def test_what_cannot_fall_below_zero_is_held_relative_to_its_size():
    """A perplexity of 1000 may move further than one of 5."""
    found = measured(cells([5.0, 1000.0], [5.1, 1030.0], [5.0, 970.0], least=1.0, most=np.inf))
    assert found == {"relative": 0.06}


def test_a_value_that_is_only_there_on_one_side_makes_a_coin():
    found = measured(cells([0.4, np.nan], [0.41, 0.3], [0.4, np.nan]))
    assert found["beyond"] == 0.25 and found["of"] == 4


def test_two_runs_at_least_are_needed(tmp_path, side_effects, capsys):
    assert side_effects("tolerances", str(tmp_path)) == 2
    assert "two run folders" in capsys.readouterr().err
