"""The gate in the book: decisions of runs, and error rates on populations that are known."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "measures"))
from test_measures_budget import WHOLE, budget, frames

from lib.chapters.gate import (
    Population,
    error_rows,
    gate_table,
    harm_rows,
    populations,
    power_rows,
    run_decisions,
    verdict_rows,
)
from lib.statistics.bases import RUN_COLUMNS
from lib.study.design import Run
from lib.study.notebook import COLUMNS


@pytest.fixture
def known():
    return {"base": {Run(1, 0): frames()}, "good": {Run(1, 1): frames(), Run(1, 2): frames()},
            "bad": {Run(1, 1): frames(0.7, 1.3, 0.95), Run(1, 2): frames(0.69, 1.3, 0.95)}}


def test_arms_are_decided_with_their_seeds_together(known):
    table = gate_table(budget(**WHOLE), known, 1)
    assert set(COLUMNS) <= set(table) and (table["runs"] == 2).all()
    found = table.groupby("arm")["verdict"].unique().map(list).to_dict()
    assert found == {"good": ["pass"], "bad": ["fail"]}


def test_runs_are_decided_one_by_one(known):
    table = verdict_rows(run_decisions(budget(**WHOLE), known))
    wide = table.pivot_table(index="arm", columns="condition", values="value")
    assert wide.loc["good", "pass"] == wide.loc["bad", "fail"] == 1
    assert (wide.sum(axis=1) == 1).all()


def test_harms_of_runs_are_those_of_their_decisions(known):
    table = harm_rows(run_decisions(budget(**WHOLE), known))
    assert set(table["condition"]) == set(WHOLE) and set(RUN_COLUMNS) <= set(table)
    lost = table[(table["condition"] == "refusal_rate") & (table["arm"] == "bad")]
    assert lost["value"].round(6).tolist() == [0.3, 0.31]


def test_a_gain_is_a_harm_of_the_same_size_in_a_population():
    lost, won = (Population.of("refusal_rate", *pair) for pair in (
        (frames(1.0), frames(0.8)), (frames(0.8), frames(1.0))))
    assert lost.truth == won.truth == pytest.approx(0.2)


def test_samples_have_so_many_items_in_clusters_of_their_own():
    whole = Population.of("refusal_rate", frames(), frames(0.8))
    drawn = whole.sample(300, np.random.default_rng(0))
    assert len(drawn) == 300 and drawn["cluster"].nunique() == 300
    assert drawn["harm_0"].mean() == pytest.approx(0.2, abs=0.07)


def test_at_the_limit_errors_are_rare_and_every_line_is_there(known):
    limit = budget(refusal_rate=0.05)
    table = error_rows(limit, populations(limit, known), 150, 1)
    assert set(RUN_COLUMNS) <= set(table)
    assert set(table["metric"]) == {"wrong_pass", "wrong_fail"}
    assert set(table["arm"]) == {"refusal_rate", "the whole budget"}
    assert table["value"].notna().groupby(table["base"]).any().all()
    assert (table["value"].dropna() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)).all()


def test_more_items_decide_more_often(known):
    limit = budget(refusal_rate=0.05)
    table = power_rows(limit, populations(limit, known), 40, 1, sizes=(20, 400))
    wide = table.pivot_table(index="metric", columns="items", values="value")
    assert (wide[400] == 1).all() and wide.loc["right_pass", 20] == 0
