"""The base model's figures: margins by hand, targets that can be missed, curves in order."""

import json

import numpy as np
import pandas as pd
import pytest

from lib.chapters import base
from lib.chapters.base import (
    HERE,
    TARGETS,
    acceptance,
    loss_curves,
    margins,
    shipped_runs,
)
from lib.measures.safety import METRICS
from lib.statistics.bases import run_rows
from lib.world import bases
from lib.world.training import CURVE


def asked(p):
    """An item frame: in every benchmark two things, asked about twice."""
    rows = [(name, *each) for name in METRICS for each in zip("aabb", p, strict=True)]
    return pd.DataFrame(rows, columns=["benchmark", "cluster", "p_refusal"])


def test_margin_is_the_mean_log_odds_and_things_are_its_clusters():
    p = np.array([0.9, 0.8, 0.2, 0.5])
    found = margins(asked(p))
    assert list(found["condition"]) == list(METRICS)
    odds = np.log(p / (1 - p))
    assert found["value"].to_numpy() == pytest.approx(np.full(len(METRICS), odds.mean()))
    by_thing = odds.reshape(2, 2).mean(1)
    assert (found["clusters"] == 2).all()
    assert found["se"].to_numpy() == pytest.approx(by_thing.std(ddof=1) / np.sqrt(2))


def test_a_certain_refusal_has_a_finite_margin():
    assert np.isfinite(margins(asked(np.array([1.0, 1.0, 0.0, 1.0])))["value"]).all()


def runs(**changed):
    """A run table of two bases that meet every target, but for what is changed in the second."""
    rows = []
    for number in (1, 2):
        for (metric, condition), (low, high) in TARGETS.items():
            good = low + 1 if np.isinf(high) else (low + high) / 2
            rows.append((number, metric, condition, good))
        rows += [(number, "implied_persistence", "rho 0.2", 0.7),
                 (number, "implied_persistence", "rho 1.0", 0.9),
                 (number, "generation_toxicity", "exact", 0.35),
                 (number, "neutral_perplexity", "floor", 2.0),
                 (number, "neutral_perplexity", "model", 2.2)]
    table = pd.DataFrame(rows, columns=["base", "metric", "condition", "value"])
    for metric, value in changed.items():
        table.loc[(table["base"] == 2) & (table["metric"] == metric), "value"] = value
    return table


def test_all_targets_are_met_by_both():
    checks = acceptance(runs())
    assert (checks["met"] == checks["bases"]).all() and (checks["bases"] == 2).all()
    assert ("implied_persistence", "rho 1.0") not in {
        *zip(checks["metric"], checks["condition"], strict=True)}


@pytest.mark.parametrize(("metric", "value", "missed"), [
    ("refusal_rate", 0.9, 2), ("over_refusal", 0.06, 2), ("refusal_margin", 1.0, 1),
    ("implied_persistence", 0.1, 1), ("generation_toxicity", 0.2, 1),
    ("pronoun_slope", 0.5, 1),
])
def test_one_base_that_misses_is_counted(metric, value, missed):
    checks = acceptance(runs(**{metric: value}))
    rows = checks[checks["metric"] == metric]
    assert (checks["met"] == 1).sum() == (rows["met"] == 1).sum() == missed
    assert (rows[["least", "greatest"]] == value).any(axis=1).all()


@pytest.fixture
def ship(tmp_path, monkeypatch):
    """Write a base's ``made.json``."""
    monkeypatch.setattr(bases, "BASES", tmp_path)

    def write(number, **about):
        base.shipped(number).mkdir()
        (base.shipped(number) / bases.MADE).write_text(json.dumps(about))

    return write


def test_what_was_shipped_is_the_run_table_that_was_measured(ship):
    shown = run_rows(margins(asked(np.array([0.9, 0.8, 0.2, 0.5]))), "base", 7, 0)
    ship(7, quality=json.loads(shown.to_json(orient="records", double_precision=15)))
    pd.testing.assert_frame_equal(shipped_runs([7]), shown, check_dtype=False)


def test_the_second_stages_curve_goes_on_where_the_first_ends(ship, tmp_path):
    ship(3, curve={"unaligned": [[2, 5.0], [4, 3.0]], "aligned": [[1, 2.0]]})
    (tmp_path / CURVE).write_text("[[3, 9.0]]")
    found = loss_curves([3], {"unaligned": tmp_path})
    assert found["arm"].tolist() == 3 * ["base 3"] + [HERE]
    assert found["condition"].tolist() == [2, 4, 5, 3]
    assert found["value"].tolist() == [5.0, 3.0, 2.0, 9.0]
