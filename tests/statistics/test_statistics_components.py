"""Variance components of simulated answers are near what was planted."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from lib.statistics.components import COMPONENTS, components

PLANTED = {"base": 0.8, "arm:base": 0.8, "run": 0.5, "item": 1.2}


def answers(seed, bases=12, items=60, **planted):
    """Yes-or-no answers of five arms with two seeds on every base."""
    sd = PLANTED | {name.replace("_", ":"): value for name, value in planted.items()}
    rng = np.random.default_rng(seed)
    shape = (5, bases, 2, items)
    arm, base, run, item = np.indices(shape).reshape(4, -1)
    eta = np.array([2.0, 0.0, -1.0, 1.0, 0.5])[arm]
    eta = eta + sd["base"] * rng.normal(size=bases)[base]
    eta += sd["arm:base"] * rng.normal(size=shape[:2])[arm, base]
    eta += sd["run"] * rng.normal(size=shape[:3])[arm, base, run]
    eta += sd["item"] * rng.normal(size=items)[item]
    return pd.DataFrame({"arm": [f"arm {a}" for a in arm], "base": base, "seed": run,
                         "item": item, "value": (rng.random(len(eta)) < expit(eta)).astype(int)})


@pytest.fixture(scope="module")
def found():
    tables = [components(answers(seed)).set_index("component") for seed in range(4)]
    return pd.concat(tables, keys=range(4))


@pytest.mark.parametrize("name", COMPONENTS)
def test_standard_deviations_are_near_those_planted(found, name):
    """Variational estimates are somewhat small, and twelve bases say little of their own."""
    mean = found.xs(name, level="component")["value"].mean()
    assert 0.55 * PLANTED[name] < mean < 1.15 * PLANTED[name]


def test_limits_and_levels(found):
    assert (found["low"] < found["value"]).all() and (found["value"] < found["high"]).all()
    assert found.loc[0, "levels"].tolist() == [12, 60, 120, 60]


def test_what_is_not_there_is_small_and_the_order_of_rows_is_free():
    frame = answers(9, base=0.0, arm_base=2.0)
    table = components(frame).set_index("component")["value"]
    assert table["base"] < 0.5 * table["arm:base"]
    shuffled = components(frame.sample(frac=1, random_state=0)).set_index("component")["value"]
    assert shuffled[["arm:base", "item"]].to_numpy() == pytest.approx(
        table[["arm:base", "item"]].to_numpy(), rel=0.1)
