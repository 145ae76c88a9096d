"""Budgets as files, and their decisions on frames whose change is known."""

import re

import numpy as np
import pandas as pd
import pytest

from lib.errors import InvalidValueError, StudyError
from lib.measures.budget import Budget, Line, decide, load_budget
from lib.measures.effects import AXES
from lib.measures.quantities import QUANTITIES, changes, level, prepared
from lib.statistics.noninferiority import FAIL, OPEN, PASS


def frames(refused: float = 1.0, nats: float = 1.0, slope: float = 0.8, n: int = 200):
    """Item frames of three axes by a model with these values."""
    items = [f"item {i}" for i in range(n)]
    shared = {"item": items, "cluster": items}
    x, share = np.linspace(-20, 20, n), np.linspace(0, 1, n)
    return {
        "safety": pd.DataFrame({"benchmark": "unseen_both", **shared, "score": 1.0,
                                "refused": (np.arange(n) < refused * n).astype(float)}),
        "utility": pd.DataFrame({"benchmark": "neutral", **shared, "nll": nats * 5,
                                 "tokens": 5, "correct": np.nan}),
        "overreaction": pd.DataFrame({"benchmark": "ar1", **shared, "rho": 0.4, "x": x,
                                      "forecast": slope * x}),
        "gender": pd.DataFrame({"benchmark": "plain", **shared, "share": share,
                                "kind": np.where(np.arange(n) % 2, "occupation", "definitional"),
                                "p_she": share}),
    }


def budget(**allowed: float) -> Budget:
    return Budget(alpha=0.05, power=0.8, lines=[
        Line(metric=metric, allowed=limit, why="a reason in words")
        for metric, limit in allowed.items()])


WHOLE = {"refusal_rate": 0.05, "neutral_perplexity": 0.05, "excess_persistence": 0.05}


def test_the_default_budget_has_a_line_about_every_axis_with_reasons():
    found = load_budget()
    assert set(found.axes()) == set(AXES)
    assert {line.metric for line in found.lines} == {
        name for name, q in QUANTITIES.items() if q.axis in AXES}


@pytest.mark.parametrize(("after", "verdicts"), [
    ({}, [PASS, PASS, PASS]),
    ({"refused": 0.5}, [FAIL, PASS, PASS]),
    ({"refused": 0.96}, [OPEN, PASS, PASS]),
    ({"nats": 1.2}, [PASS, FAIL, PASS]),
    ({"nats": 1.04, "slope": 0.5}, [PASS, PASS, PASS]),  # less persistence is no harm
    ({"slope": 0.95}, [PASS, PASS, FAIL]),
])
def test_lines_are_decided_by_what_changed(after, verdicts):
    table = decide(budget(**WHOLE), frames(), [frames(**after)])
    assert table["verdict"].tolist() == verdicts
    assert table["line"].tolist() == list(WHOLE)


def test_harms_and_levels_are_in_the_units_of_a_budget():
    table = decide(budget(**WHOLE), frames(), [frames(0.9, 1.1, 0.9)]).set_index("line")
    assert table["value"].round(4).to_dict() == {
        "refusal_rate": 0.1, "neutral_perplexity": pytest.approx(np.expm1(0.1), abs=1e-4),
        "excess_persistence": 0.1}
    assert table.loc["neutral_perplexity", "before"] == pytest.approx(np.e)
    assert table.loc["refusal_rate", ["before", "after"]].tolist() == [1.0, 0.9]
    for name, value in {"definitional_probability": 0.75, "pronoun_slope": 1.0}.items():
        items = prepared(QUANTITIES[name], frames())
        own = level(QUANTITIES[name], items, items[QUANTITIES[name].column])
        assert own == pytest.approx(value, abs=0.01)


def test_seeds_of_a_recipe_are_decided_together():
    table = decide(budget(**WHOLE), frames(), [frames(0.9), frames(1.0), frames(0.95)])
    assert (table["seeds"] == 3).all()
    assert table.loc[0, "value"] == pytest.approx(0.05)


def test_frames_of_other_items_are_refused():
    other = frames()
    other["safety"] = other["safety"].assign(item=[f"x{i}" for i in range(200)])
    with pytest.raises(InvalidValueError, match="the same items of axis safety"):
        changes(QUANTITIES["refusal_rate"], frames(), [other])


def test_what_is_no_number_is_no_evidence():
    spoilt = frames()
    spoilt["safety"] = spoilt["safety"].assign(refused=np.nan)
    with pytest.raises(InvalidValueError, match="numbers for all items"):
        decide(budget(refusal_rate=0.05), frames(), [spoilt])


def test_the_order_of_items_does_not_matter():
    mixed = {name: frame.sample(frac=1, random_state=1) for name, frame in frames(0.9).items()}
    first, second = (decide(budget(**WHOLE), frames(), [f]) for f in (frames(0.9), mixed))
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(("text", "told"), [
    ("alpha: 0.05\npower: 0.8\nlines: []", "lines"),
    ("alpha: 2\npower: 0.8\nlines: [{metric: refusal_rate, allowed: 0.1, why: because of it}]",
     "alpha"),
    ("alpha: 0.05\npower: 0.8\nlines: [{metric: refusals, allowed: 0.1, why: because of it}]",
     "did you mean refusal_rate"),
    ("alpha: 0.05\npower: 0.8\nlines: [{metric: refusal_rate, allowed: 0, why: because of it}]",
     "allowed"),
    ("alpha: 0.05\npower: 0.8\nlimes: 3\nlines:\n"
     "  - {metric: coherence, allowed: 0.1, why: because of it}",
     "limes"),
    ("alpha: 0.05\npower: 0.8\nlines:\n  - {metric: coherence, allowed: 0.1, why: because of it}\n"
     "  - {metric: coherence, allowed: 0.2, why: because of it}", "coherence has more"),
    ("alpha: 0.05\npower: 0.8\nlines:\n  - metric: pronoun_slope\n    allowed: 0.1\n"
     "    why: because of it\n    judge: {caught: 9, of_positive: 9, cleared: 9, of_negative: 9}",
     "an audit belongs to a share"),
    ("alpha: 0.05\npower: 0.8\nlines:\n  - metric: coherence\n    allowed: 0.1\n"
     "    why: because of it\n    judge: {caught: 5, of_positive: 10, cleared: 5, of_negative: 10}",
     "hardly better than a coin"),
    ("alpha: 0.05\npower: 0.8\nlines: [{metric: coherence, allowed: 1.5, why: because of it}]",
     "below 1"),
    ("alpha: 0.05\npower: 0.8\nlines:\n  - metric: coherence\n    allowed: 0.1\n"
     "    why: because of it\n    judge: {caught: 3, of_positive: 3, cleared: 3, of_negative: 3}",
     "audited on few"),
    ("- a list", "keys and values"),
])
def test_a_budget_that_cannot_be_meant_is_refused(tmp_path, text, told):
    path = tmp_path / "budget.yml"
    path.write_text(text)
    with pytest.raises(StudyError, match=re.escape(told)):
        load_budget(path)


def test_a_budget_can_be_about_some_axes():
    few = load_budget().about(["utility"])
    assert {line.metric for line in few.lines} == {"utility_accuracy", "neutral_perplexity"}
    with pytest.raises(StudyError, match="none in the budget"):
        load_budget().about(["policy"])


def test_an_audited_judge_widens_what_is_known():
    plain = budget(refusal_rate=0.05)
    audit = {"caught": 45, "of_positive": 50, "cleared": 45, "of_negative": 50}
    audited = Budget(alpha=0.05, power=0.8, lines=[
        Line(metric="refusal_rate", allowed=0.05, why="a reason in words", judge=audit)])
    sure, unsure = (decide(b, frames(), [frames(0.9)]).iloc[0] for b in (plain, audited))
    assert unsure["high"] - unsure["low"] > sure["high"] - sure["low"]
    assert unsure["high"] > sure["high"]
