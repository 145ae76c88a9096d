"""A run held against a reference, in simulated runs with planted differences; and an old pair."""

import io
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import simulated_runs as world
from scipy import stats

from lib.chapters.claims import Claim, decided
from lib.errors import InvalidValueError
from lib.study import paths
from lib.study.notebook import csv_text
from lib.study.profiles import load_profile
from tools import reference
from tools.reference import (
    RUN,
    Strays,
    Tolerance,
    compare,
    compare_tables,
    load_tolerances,
    report,
    reversals,
    settings,
)
from tools.tolerances import write_tolerances

REFERENCE = load_profile("reference")
CLAIM = world.CLAIM


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A reference of twelve bases with tolerances from four reruns; `beside` compares a run."""
    runs = [world.save(tmp_path / f"rerun{i}", REFERENCE, numbers=range(1, 13), seeds=2,
                       arithmetic=i) for i in range(5)]
    write_tolerances(runs, tmp_path / "tolerances.yml")
    monkeypatch.setattr(reference, "claims", lambda: (Claim(**CLAIM),))

    def beside(profile="sandbox", **given):
        run = world.save(tmp_path / "run", load_profile(profile), **given)
        return report(run, runs[0] / "figures", tmp_path / "tolerances.yml")

    beside.committed, beside.limits = runs[0] / "figures", tmp_path / "tolerances.yml"
    return beside


def test_the_run_itself_agrees(book):
    text, same = book()
    assert same, text
    assert text.splitlines()[0] == "ok    01_plain: 1 cells"
    assert "ok    03_runs: 48 cells" in text  # 4 bases, 3 arms, 2 conditions, 2 metrics
    assert text.splitlines()[-1] == ("2 exhibits agree, 0 differ; claims: 1 hold, 0 do not, 0 open;"
                                     " in the reference 1 hold, 0 do not, 0 open")


@pytest.mark.parametrize("arithmetic", range(11, 16))
def test_other_arithmetic_agrees(book, arithmetic):
    text, same = book(arithmetic=arithmetic)
    assert same, text


def test_a_base_with_another_seed_in_its_place_is_caught(book):
    text, same = book(arithmetic=11, swapped=(2,))
    assert not same
    assert "FAIL  base 2: weights 2-2-" in text
    assert "all on base 2: its model is not the committed one, or was tuned otherwise" in text
    # By its cells alone, too: nothing else is named.
    cells = [line for line in text.splitlines() if line.startswith("      ") and " base " in line]
    assert cells and all("base 2," in line or "base 2:" in line for line in cells)


def test_a_failing_cell_is_named_with_both_values(book, tmp_path):
    run = world.save(tmp_path / "run")
    path = run / "figures" / "runs" / "03_runs.csv"
    table = pd.read_csv(path)
    chosen = (table["arm"] == "lora") & (table["base"] == 3) & (table["metric"] == "slope")
    table.loc[chosen & (table["condition"] == "unseen"), "value"] = 0.9
    path.write_text(csv_text(table, table.columns))
    text, same = report(run, book.committed, book.limits)
    assert not same
    line = next(line for line in text.splitlines() if "lora / unseen / slope" in line)
    assert "base 3, seed 1: value 0.9, committed 0." in line


def edited(column="value", **selected):
    """The simulated runs, some of them with another value."""
    def call(value, runs=None):
        table = world.run_table() if runs is None else runs
        chosen = np.logical_and.reduce([table[c].isin(np.atleast_1d(v))
                                        for c, v in selected.items()])
        return table.assign(**{column: table[column].where(~chosen, value)})

    return call


LIMITS = {"03_runs": {"slope": Tolerance(0.02), "refusal_rate": Tolerance(0.25, beyond=0.03,
                                                                          of=240)}}


def lines(found, committed=None, alike=True):
    committed = world.run_table() if committed is None else committed
    return compare_tables("03_runs", found, committed, LIMITS, alike).lines


def test_coins_are_counted_not_judged_one_by_one():
    """Of twelve models one may have fallen, four may not: binomial, with at most 5.6 per cent."""
    committed = world.run_table().assign(value=lambda t: t["value"].where(
        t["metric"] == "slope", 1.0))
    fell = edited(metric="refusal_rate", arm="full", base=[1])(0.0, committed)
    assert lines(fell, committed) == ()
    note = compare_tables("03_runs", fell, committed, LIMITS).note
    assert note == "refusal_rate, a coin: 1 of 12 runs fell otherwise"
    fell = edited(metric="refusal_rate", base=[1, 2])(0.0, committed)
    assert len(lines(fell, committed)) == 12  # six models, two conditions
    assert "6 of 12 runs fell otherwise, where other arithmetic makes 3%" in compare_tables(
        "03_runs", fell, committed, LIMITS).note


def test_no_cell_of_a_coin_may_fall_to_one_side_on_all_bases():
    """Four of twelve runs are few enough; that they are all those of one arm is not."""
    committed = world.run_table().assign(value=lambda t: t["value"].where(
        t["metric"] == "slope", 1.0))
    apart = edited(metric="refusal_rate", arm="full", base=[1, 2, 3])(0.0, committed)
    assert lines(apart, committed) == ()
    fell = edited(metric="refusal_rate", arm="full", condition="taught")(0.0, committed)
    found = lines(fell, committed)
    assert len(found) == 4 and all("full / taught / refusal_rate" in line for line in found)


@pytest.mark.parametrize("number", [12, 60, 240])
def test_the_count_of_coins_is_a_binomial_tail(number):
    coin = Tolerance(0.25, beyond=0.03, of=240)
    most = stats.beta.ppf(0.95, 0.03 * 240 + 1, 240 * 0.97)
    for fell in range(number):
        p = stats.binomtest(fell, number, most, "greater").pvalue
        assert coin.too_many(fell, number) == (p < 0.001)


def test_a_coin_that_never_fell_in_few_reruns_may_fall_seldom():
    assert not Tolerance(0.25, beyond=0.0, of=60).too_many(2, 24)
    assert Tolerance(0.25, beyond=0.0, of=6000).too_many(2, 24)


@pytest.mark.parametrize(("value", "same"), [(0.019, True), (0.021, False)])
def test_the_tolerance_of_the_metric_decides(value, same):
    table = world.run_table()
    moved = table.assign(value=table["value"] + value * (table["metric"] == "slope"))
    assert (lines(moved) == ()) is same


def test_missing_values_agree_only_with_missing_values():
    gap = edited(metric="slope", arm="lora", base=1)(np.nan)
    assert lines(gap, gap) == ()
    assert len(lines(gap)) == len(lines(world.run_table(), gap)) == 2


def test_counts_must_agree_exactly():
    other = edited("n", metric="slope", arm="lora", base=1)(31)
    assert len(lines(other)) == 2
    assert "items were drawn otherwise" in compare_tables(
        "03_runs", other, world.run_table(), LIMITS).note


def test_rows_may_stand_in_another_order():
    assert lines(world.run_table().sample(frac=1, random_state=1)) == ()


def test_a_smaller_profile_may_lack_bases_and_arms_but_no_cell_of_a_run():
    large, small = world.run_table(range(1, 13), 2), world.run_table()
    assert lines(small[small["arm"] != "full"], large, alike=False) == ()
    lacking = small[(small["arm"] != "lora") | (small["condition"] == "taught")]
    found = lines(lacking, large, alike=False)
    assert len(found) == 8 and all("the run lacks it" in line for line in found)
    assert len(lines(small, large, alike=True)) == len(large) - len(small)
    assert all("not committed" in line for line in lines(large, small, alike=False))


def test_a_smaller_profile_may_lack_whole_attacks():
    small, large = world.run_table(), world.run_table(range(1, 13), 2)
    both = pd.concat([large.assign(attack="explicit"), large.assign(attack="benign")])
    assert lines(small.assign(attack="explicit"), both, alike=False) == ()
    half = small[small["condition"] == "taught"].assign(attack="benign")
    found = lines(pd.concat([small.assign(attack="explicit"), half]), both, alike=False)
    assert found and all("the run lacks it" in line and "benign" in line for line in found)


def test_other_columns_are_reported_before_any_value():
    assert lines(world.run_table().drop(columns="se"))[0].startswith("columns arm, condition")


@pytest.mark.parametrize(("selected", "words"), [
    ({"metric": "slope", "base": 2}, "all on base 2"),
    ({"metric": "slope", "arm": "lora"}, "all in the arm lora"),
    ({"metric": "slope", "arm": "base"}, "the base models themselves"),
    ({"metric": ["slope", "refusal_rate"]}, "most cells"),
    ({"metric": "slope", "arm": ["lora", "full"], "base": [1, 2]}, "single cells"),
])
def test_what_failing_cells_share_is_said(selected, words):
    found = edited(**selected)(9.0)
    assert words in compare_tables("03_runs", found, world.run_table(), LIMITS).note


def test_a_few_cells_may_stray_a_little_and_no_more_than_other_arithmetic_makes():
    committed, allowed = world.run_table(), Strays(share=0.02, times=5.0)
    assert len(committed) == 48 and allowed.most(48) == 1
    shift = committed["value"].where(committed["metric"] != "slope", committed["value"] + 0.09)

    def moved(rows):
        found = committed.assign(value=committed["value"].where(~committed.index.isin(rows), shift))
        result = compare_tables("03_runs", found, committed, LIMITS, strays=allowed)
        return result, reference.too_many_strays([result], allowed)

    slopes = committed.index[committed["metric"] == "slope"]
    one, failed = moved(slopes[:1])
    assert one.lines == () and len(one.strays) == 1 and failed == [] and "stray: base" in str(one)
    two, failed = moved(slopes[:2])
    assert two.lines == () and failed == ["FAIL  2 of 48 cells lie beyond their tolerance, where "
                                          "other arithmetic makes 1 at most"]
    # Five tolerances of .02 away, and further; where no stray was measured, there is none.
    far = edited(metric="slope", base=1, arm="lora")(9.0)
    assert len(compare_tables("03_runs", far, committed, LIMITS, strays=allowed).lines) == 2
    near = committed.assign(value=shift)
    assert len(lines(near, committed)) == 24


def test_a_missing_value_is_no_stray():
    committed = world.run_table()
    found = committed.assign(value=committed["value"].where(committed.index != 0))
    allowed = Strays(share=1.0, times=1000.0)
    assert len(compare_tables("03_runs", found, committed, LIMITS, strays=allowed).lines) == 1


def test_a_table_is_compared_where_as_many_runs_are_behind_it():
    first = pd.DataFrame({"arm": ["a", "b"], "condition": "x", "metric": "slope", "low": 0.0,
                          "value": [0.1, 0.2], "high": 1.0, "n": 5, "bases": [12, None],
                          "runs": [24, None]})
    other = first.assign(value=[0.7, 0.2], bases=[4, None], runs=[4, None])
    assert compare_tables("03_runs", other, first, LIMITS).cells == 1
    assert compare_tables("03_runs", first.assign(value=[0.1, 0.3]), first, LIMITS).lines == (
        "b / x / slope: value 0.3, committed 0.2",)
    assert "high 0.5, committed 1" in compare_tables(
        "03_runs", first.assign(high=0.5), first, LIMITS).lines[0]


def test_exhibits_of_one_side_only_are_named(book, tmp_path):
    run = world.save(tmp_path / "run")
    figures = run / "figures"
    (figures / "tables" / "01_plain.csv").rename(figures / "tables" / "02_new.csv")
    text, same = report(run, book.committed, book.limits)
    assert not same and "the run made no such table" in text and "only the run has it" in text
    (figures / "runs" / "03_runs.csv").unlink()
    assert "only one of the two has runs" in report(run, book.committed, book.limits)[0]


@pytest.mark.parametrize("content", [b"", b'a,b\n"1', b"a\n\xff\n"])
def test_a_table_that_cannot_be_read_is_a_difference(book, tmp_path, content):
    run = world.save(tmp_path / "run")
    (run / "figures" / "tables" / "01_plain.csv").write_bytes(content)
    results = compare(run / "figures", book.committed, load_tolerances(book.limits))
    assert [bool(r.lines) for r in results] == [True, False]


def test_only_the_notebooks_asked_for_are_compared(book):
    found = compare(book.committed, book.committed, load_tolerances(book.limits), "03,04")
    assert [result.exhibit for result in found] == ["03_runs"]


# --- settings -------------------------------------------------------------------------------------

@pytest.mark.parametrize(("changes", "words"), [
    ({"seed": 7}, "a run with seed 1.*seed 7.*side-effects claims"),
    ({"finetune.rank": 9}, "profile reference or a part of it.*sandbox"),
    ({"bases.numbers": [1, 13]}, "profile reference or a part of it"),
    ({"evaluation.items": 20}, "profile reference or a part of it"),
])
def test_a_run_of_other_settings_is_refused(tmp_path, book, changes, words):
    run = world.save(tmp_path / "run", load_profile("sandbox", changes))
    with pytest.raises(InvalidValueError, match=words):
        report(run, book.committed, book.limits)


def test_a_run_is_the_reference_or_a_part_of_it(tmp_path, book):
    for profile, alike in (("sandbox", False), ("reference", True)):
        run = world.save(tmp_path / profile, load_profile(profile))
        assert settings(run / "manifest.json", book.committed / RUN) is alike


def test_what_a_run_was_made_with_must_be_known(tmp_path, book):
    run = world.save(tmp_path / "run")
    (run / "manifest.json").write_text("{")
    with pytest.raises(InvalidValueError, match="what a run was made with"):
        report(run, book.committed, book.limits)


@pytest.mark.parametrize("text", ["exhibits: 3", "x: 1", "- 1",
                                  "exhibits: {a: {b: {absolute: low}}}",
                                  "exhibits: {a: {b: {intervals: 1.0}}}"])
def test_tolerances_that_are_none_are_explained(tmp_path, text):
    (tmp_path / "tolerances.yml").write_text(text)
    with pytest.raises(InvalidValueError, match="tolerances.yml"):
        load_tolerances(tmp_path / "tolerances.yml")


def test_a_metric_without_a_tolerance_of_its_own_must_agree_to_the_digit():
    assert reference.tolerance({}, "03_x", "new") == Tolerance()
    general = {"default": {"slope": Tolerance(0.1)}, "03_x": {"default": Tolerance(0.2)}}
    assert reference.tolerance(general, "03_y", "slope").absolute == 0.1
    assert reference.tolerance(general, "03_x", "slope").absolute == 0.2


def test_the_command_says_so_and_fails(book, tmp_path, side_effects, capsys):
    run = world.save(tmp_path / "run", swapped=(1,))
    given = ["--found", str(run), "--committed", str(book.committed),
             "--tolerances", str(book.limits)]
    assert side_effects("compare", *given) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 exhibits agree, 1 differ")
    assert side_effects("compare", "--found", str(tmp_path / "none")) == 2
    assert "run the study first" in capsys.readouterr().err


# --- conclusions ----------------------------------------------------------------------------------

def test_a_claim_decided_the_other_way_round_is_a_failure(book, tmp_path):
    """Whatever the cells: here every tolerance is wide open."""
    run = world.save(tmp_path / "run")
    path = run / "figures" / "runs" / "03_runs.csv"
    table = edited(arm="lora", metric="slope")(2.0, pd.read_csv(path))
    path.write_text(csv_text(table, table.columns))
    open_ = tmp_path / "open.yml"
    open_.write_text("exhibits: {default: {default: {absolute: 9.0}}}")
    text, same = report(run, book.committed, open_)
    assert not same and "0 differ" in text
    assert "FAIL  claim 03_lowers: does not hold (1." in text
    assert "in the reference holds (-0.3" in text


def test_claims_of_any_runs_are_listed(book, tmp_path, monkeypatch, side_effects, capsys):
    monkeypatch.setattr(reference, "FIGURES", book.committed)
    other = world.save(tmp_path / "other", load_profile("sandbox", {"seed": 7}))
    assert side_effects("claims", str(other)) == 0
    out = capsys.readouterr().out
    assert "03_lowers" in out and "other: 1 hold" in out and "reference: 1 hold" in out


# --- the pair of tables that an older check called agreement --------------------------------------

COMMIT = "12ea7dc"
OLD = Path(os.environ.get("DEBIAS_DATA_MIRROR", "none")).parent / "reference" / (
    f"second_processor_{COMMIT}")
OLD_CLAIMS = {
    "06_slow": ("06_defences", "above", 0.5, {
        "metric": "refusal_rate", "arm": "full_slow", "attack": "benign",
        "condition": "unseen things"}),
    "00_borderline": ("00_quality", "below", 0.05, {
        "metric": "over_refusal", "arm": "base", "condition": "borderline"}),
    "06_free": ("06_frontier", "below", 1.05, {
        "metric": "loss_ratio", "arm": "full_adaptive", "condition": "task"}),
}
"""Exhibit, direction, threshold, rows: three conclusions of that book."""


@pytest.fixture(scope="module")
def pair():
    """Tables of one commit and seed from two processors."""
    if not OLD.is_dir():
        pytest.skip(f"needs reference/{OLD.name} beside the folder that DEBIAS_DATA_MIRROR names")
    found = {}
    for name in {exhibit for exhibit, *_ in OLD_CLAIMS.values()}:
        asked = ["git", "-C", str(paths.ROOT), "show", f"{COMMIT}:figures/tables/{name}.csv"]
        told = subprocess.run(asked, capture_output=True, text=True)
        if told.returncode:
            pytest.skip(f"needs the commit {COMMIT}, which this clone has not")
        found[name] = pd.read_csv(OLD / f"{name}.csv"), pd.read_csv(io.StringIO(told.stdout))
    return found


def as_runs(table):
    """An old table as the book read it: three seeds that agree on one number for a recipe."""
    three = pd.concat([table.assign(base=k, seed=1) for k in (1, 2, 3)])
    share = three["metric"].isin(["refusal_rate", "over_refusal"])
    return three.assign(se=np.nan, df=three["n"] - 1, least=np.where(share, 0.0, -np.inf),
                        most=np.where(share, 1.0, np.inf))


def test_the_old_pair_is_refused_and_its_cells_are_named(pair):
    """With .05 and a twentieth of the value, five times what a processor moves on equal bases."""
    wide = {"default": {"default": Tolerance(0.05, 0.05)}}
    found = {name: compare_tables(name, *(side.drop(columns="seeds") for side in sides), wide)
             for name, sides in pair.items()}
    assert any("full_slow / unseen things / refusal_rate, attack benign: value 0.257576, "
               "committed 0.996212" in line for line in found["06_defences"].lines)
    assert any("base / borderline / over_refusal: value 0.201389, committed 0.00694444" in line
               for line in found["00_quality"].lines)
    assert all(result.lines for result in found.values())


def test_the_old_pairs_reversed_claims_are_named(pair):
    asked = [Claim(id=id, says="A conclusion of that book.", family=id, exhibit=exhibit,
                   where=where, direction=direction, threshold=threshold, verdict="holds")
             for id, (exhibit, direction, threshold, where) in OLD_CLAIMS.items()]
    here, there = (decided(asked, lambda id, side=side: as_runs(pair[id][side]))
                   for side in (0, 1))
    assert {one.verdict for one in there.values()} == {"holds"}
    turned = reversals(here, there)
    assert [line.split()[2].rstrip(":") for line in turned] == list(OLD_CLAIMS)
    assert "06_slow: does not hold (0.258" in turned[0] and "holds (0.996" in turned[0]
