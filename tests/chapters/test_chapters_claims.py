"""Claims decided from simulated runs, against scipy and statsmodels; and the study's own claims."""

import ast
import re

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from lib.chapters import claims as module
from lib.chapters.claims import (
    Claim,
    claim_table,
    claims,
    decided,
    decided_of_real,
    require_known,
    run_tables,
)
from lib.errors import InvalidValueError, UnknownNameError
from lib.statistics.bases import RUN_COLUMNS
from lib.study import paths
from lib.study.fingerprint import notebook_cells
from lib.study.notebook import Study, csv_text, reference_committed

GIVEN = dict(
    id="03_lora_removes", says="LoRA removes most of the excess.", family="03 primary",
    exhibit="03_runs", where={"metric": "persistence", "arm": "lora", "condition": 0.2},
    against={"arm": "base"}, direction="below", threshold=-0.1, verdict="holds",
)


def claim(**changes):
    return Claim(**GIVEN | changes)


def rows(arm, values, metric="persistence", condition=0.2, seed=1, least=-np.inf, most=np.inf,
         **extra):
    """A run table of one arm: one value a base."""
    return pd.DataFrame({
        "arm": arm, "condition": condition, "metric": metric, "base": range(1, len(values) + 1),
        "seed": 0 if arm == "base" else seed, "value": values, "se": np.nan, "df": np.nan,
        "n": 40, "least": least, "most": most, **extra})


def world(changes, seed=0, **given):
    """Bases that differ a lot, and an arm that changes each by the given amount."""
    bases = np.random.default_rng(seed).normal(0.8, 0.3, len(changes))
    return pd.concat([rows("base", bases, **given), rows("lora", bases + changes, **given)])


def decide(runs, *asked):
    found = decided(asked or [claim()], lambda _: runs)
    return list(found.values())


def verdict(runs, **changes):
    return decide(runs, claim(**changes))[0].verdict


STEADY = np.array([-0.31, -0.28, -0.33, -0.3, -0.29])


@pytest.mark.parametrize(("direction", "threshold", "expected"), [
    ("below", -0.1, "holds"), ("below", -0.3, "not enough evidence"),
    ("below", -0.5, "does not hold"), ("above", -0.5, "holds"), ("above", -0.1, "does not hold"),
    ("within", 0.4, "holds"), ("within", 0.3, "not enough evidence"),
    ("within", 0.1, "does not hold"),
])
def test_the_side_of_the_threshold_decides(direction, threshold, expected):
    assert verdict(world(STEADY), direction=direction, threshold=threshold) == expected


def test_a_change_is_a_paired_t_test_over_bases():
    changes = np.array([-0.3, -0.1, -0.25, -0.2, -0.15, -0.35])
    found = decide(world(changes))[0]
    truth = stats.ttest_1samp(changes, -0.1)
    assert found.p == pytest.approx(truth.pvalue, rel=1e-9)
    interval = stats.ttest_1samp(changes, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(interval), rel=1e-9)
    assert (found.value, found.bases) == (pytest.approx(changes.mean()), 6)


def test_seeds_are_averaged_within_a_base():
    one, two = STEADY + 0.1, STEADY - 0.1
    bases = np.linspace(0.5, 1, 5)
    runs = pd.concat([rows("base", bases), rows("lora", bases + one),
                      rows("lora", bases + two, seed=2)])
    assert decide(runs)[0].p == pytest.approx(stats.ttest_1samp(STEADY, -0.1).pvalue, rel=1e-6)


def test_several_conditions_are_averaged_within_a_run():
    runs = pd.concat([world(STEADY), world(2 * STEADY, condition=0.4),
                      world(50 * STEADY, condition=0.6)])
    found = decide(runs, claim(where=GIVEN["where"] | {"condition": [0.2, 0.4]}))[0]
    assert found.value == pytest.approx(1.5 * STEADY.mean())


def test_equivalence_is_two_one_sided_tests():
    changes = np.array([0.02, -0.03, 0.05, 0.01, -0.02, 0.04])
    found = decide(world(changes), claim(direction="within", threshold=0.1))[0]
    one_sided = DescrStatsW(changes).ttost_mean(-0.1, 0.1)[0]
    assert found.p == pytest.approx(2 * one_sided, rel=1e-9) and found.verdict == "holds"


def test_claims_of_a_family_share_its_level():
    changes = np.array([-0.3, -0.1, -0.25, -0.2, -0.15, -0.35])
    alone = decide(world(changes))[0]
    family = decide(world(changes), *(claim(id=f"03_c{i}") for i in range(5)))
    assert alone.verdict == "holds" and alone.p < 0.05 < 5 * alone.p
    assert [c.p for c in family] == pytest.approx([5 * alone.p] * 5)
    assert {c.verdict for c in family} == {"not enough evidence"}
    apart = decide(world(changes), *(claim(id=f"03_c{i}", family=f"03 {i}") for i in range(5)))
    assert {c.verdict for c in apart} == {"holds"}


def test_what_a_run_lacks_still_counts_in_its_family():
    changes = np.array([-0.3, -0.1, -0.25, -0.2, -0.15, -0.35])
    absent = [claim(id=f"03_c{i}", where=GIVEN["where"] | {"arm": "dpo"}) for i in range(4)]
    found = decide(world(changes), claim(), *absent)
    assert [c.verdict for c in found] == ["not enough evidence"] + ["not in this run"] * 4


def test_where_the_truth_is_the_threshold_few_claims_are_decided():
    """At level .05 with four bases, as far as sixty draws tell."""
    rng = np.random.default_rng(5)
    found = [verdict(world(rng.normal(-0.1, 0.1, 4), seed=i)) for i in range(60)]
    assert sum(v != "not enough evidence" for v in found) <= stats.binom.ppf(0.999, 60, 0.05)


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_bases_decide_nothing(count):
    assert verdict(world(STEADY[:count])) == "not enough evidence"


def refusals(kept, seed=1):
    return pd.concat([rows("base", [0.9] * len(kept), "refusal_rate", least=0.0, most=1.0),
                      rows("full", kept, "refusal_rate", seed=seed, least=0.0, most=1.0)])


BROKEN = dict(measure="broken", threshold=0.5,
              where={"metric": "refusal_rate", "arm": "full"}, against={"arm": "base"})


@pytest.mark.parametrize(("lost", "bases"), [(0, 4), (0, 12), (1, 12), (11, 12), (12, 12), (6, 12)])
def test_a_broken_share_is_an_exact_binomial_over_bases(lost, bases):
    found = decide(refusals([0.4] * lost + [0.5] * (bases - lost)), claim(**BROKEN))[0]
    one_sided = [stats.binomtest(lost, bases, 0.5, side).pvalue for side in ("less", "greater")]
    assert found.value == pytest.approx(lost / bases)
    assert found.p == pytest.approx(min(1, 2 * min(one_sided)))
    assert found.verdict == ("not enough evidence" if found.p > 0.05 else
                             "holds" if lost < bases / 2 else "does not hold")


def test_two_runs_of_one_base_are_no_two_bases():
    half = pd.concat([refusals([0.1] * 6 + [0.8] * 6),
                      refusals([0.8] * 12, seed=2).query("arm == 'full'")])
    found = decide(half, claim(**BROKEN))[0]
    assert (found.value, found.bases) == (0.25, 12)
    three = decide(refusals([0.1] * 3 + [0.8] * 9), claim(**BROKEN))[0]
    assert found.p == pytest.approx(three.p)


def test_a_share_that_never_varies_is_not_certain():
    """Four bases that all keep everything: the t interval has no width, the score interval has."""
    runs = rows("full", [1.0] * 4, "refusal_rate", least=0.0, most=1.0)
    asked = dict(where=BROKEN["where"], against={}, direction="above")
    assert verdict(runs, threshold=0.99, **asked) == "not enough evidence"
    assert verdict(runs, threshold=0.2, **asked) == "holds"


def test_a_ratio_is_taken_run_by_run():
    bases = np.array([0.5, 1.0, 2.0, 4.0])
    runs = pd.concat([rows("base", bases), rows("lora", bases * [1.1, 1.2, 1.3, 1.2])])
    found = decide(runs, claim(ratio=True, direction="above", threshold=1.0))[0]
    truth = stats.ttest_1samp([1.1, 1.2, 1.3, 1.2], 1.0)
    assert found.value == pytest.approx(1.2) and found.p == pytest.approx(truth.pvalue)


def test_one_selection_may_be_held_against_another():
    runs = pd.concat([world(STEADY), world(STEADY - 0.2, condition=0.4),
                      world(STEADY, seed=3, condition=0.6, attack="benign")])
    found = decide(runs, claim(against={"condition": 0.4}))[0]
    assert found.value == pytest.approx(0.2)
    extra = decide(runs, claim(where=GIVEN["where"] | {"condition": 0.6, "attack": "benign"}))[0]
    assert extra.value == pytest.approx(STEADY.mean())


@pytest.mark.parametrize("where", [{"arm": "dpo"}, {"condition": 0.9}, {"condition": [0.2, 0.9]},
                                   {"attack": "benign"}])
def test_what_a_smaller_profile_leaves_out_is_not_in_the_run(where):
    assert verdict(world(STEADY), where=GIVEN["where"] | where) == "not in this run"


def test_runs_without_one_of_the_cells_are_left_out():
    runs = pd.concat([world(STEADY), world(STEADY, condition=0.4)])
    runs.loc[(runs["base"] == 2) & (runs["condition"] == 0.4), "value"] = np.nan
    found = decide(runs, claim(where=GIVEN["where"] | {"condition": [0.2, 0.4]}))[0]
    assert found.bases == 4 and found.value == pytest.approx(np.delete(STEADY, 1).mean())


def test_rows_that_a_claim_does_not_tell_apart_are_refused():
    runs = pd.concat([world(STEADY, attack="benign"), world(STEADY, attack="explicit")])
    with pytest.raises(InvalidValueError, match="03_lora_removes.*2 of 1.*tells rows of 03_runs"):
        decide(runs)


@pytest.mark.parametrize(("runs", "words"), [
    (None, "run table 03_runs, which decides 03_lora_removes"),
    (world(STEADY, metric="persistance"), "'persistence'.*did you mean persistance"),
])
def test_an_exhibit_or_metric_that_no_code_makes_is_named(runs, words):
    with pytest.raises(UnknownNameError, match=words):
        require_known([claim()], lambda _: runs)


def test_a_table_read_from_a_file_decides_as_in_memory(tmp_path):
    runs = pd.concat([world(STEADY), world(STEADY, condition="all"), world(STEADY, condition=0.0)])
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "03_runs.csv").write_text(csv_text(runs, RUN_COLUMNS))
    for condition in (0.2, "all", 0):
        asked = claim(where=GIVEN["where"] | {"condition": condition})
        stored = decided([asked], run_tables(tmp_path))[asked.id]
        assert stored[:5] == pytest.approx(decide(runs, asked)[0][:5], rel=1e-4)
        assert stored.verdict == "holds"
    assert run_tables(tmp_path)("03_other") is None


@pytest.mark.parametrize(("change", "words"), [
    ({"threshold": "low"}, "threshold"), ({"verdict": "maybe"}, "verdict"), ({"id": "lora"}, "id"),
    ({"exhibit": "04_runs"}, "its own notebook"), ({"where": {"arm": "lora"}}, "a metric"),
    ({"against": {}, "ratio": True}, "something to be against"),
    ({"against": {}, "measure": "broken"}, "something to be against"),
    ({"direction": "within"}, "above 0"), ({"thershold": 1}, "thershold"),
])
def test_a_claim_that_cannot_be_decided_is_explained(tmp_path, change, words):
    (tmp_path / "claims.yml").write_text(yaml.safe_dump([GIVEN | change]))
    with pytest.raises(InvalidValueError, match=words):
        claims(tmp_path / "claims.yml")


@pytest.mark.parametrize(("second", "words"), [
    ({}, "03_lora_removes"), ({"id": "04_x", "exhibit": "04_x"}, "families within a notebook")])
def test_names_are_given_once(tmp_path, second, words):
    (tmp_path / "claims.yml").write_text(yaml.safe_dump([GIVEN, GIVEN | second]))
    with pytest.raises(InvalidValueError, match=words):
        claims(tmp_path / "claims.yml")


# --- the table at the end of a notebook -----------------------------------------------------------

@pytest.fixture
def book(tmp_path, monkeypatch):
    """Opens a study; saves run tables of the run and of the committed reference."""
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(module, "claims", lambda: (
        claim(), claim(id="04_other", exhibit="04_runs", family="04 all")))

    def open_(profile, here, committed=None):
        study = Study(profile, notebook="03")
        for root, runs in ((study.run_dir / "figures", here), (paths.FIGURES, committed)):
            (root / "runs").mkdir(parents=True, exist_ok=True)
            if runs is not None:
                (root / "runs" / "03_runs.csv").write_text(csv_text(runs, RUN_COLUMNS))
        return claim_table(study)

    return open_


def test_a_notebook_shows_its_claims_in_the_reference_and_in_this_run(book):
    shown = book("sandbox", world(STEADY + 0.2), world(STEADY))
    assert shown["claim"].tolist() == [GIVEN["says"]]
    assert shown.loc[0, "holds_if"] == "below -0.1"
    assert shown.loc[0, ["reference", "this_run"]].tolist() == ["holds", "not enough evidence"]
    assert shown.loc[0, "value"] == pytest.approx((STEADY + 0.2).mean(), rel=1e-5)


def test_without_a_reference_its_column_is_empty(book):
    assert book("sandbox", world(STEADY)).loc[0, "reference"] == ""
    assert book("smoke", world(STEADY), world(STEADY)).loc[0, "reference"] == ""


def test_the_reference_is_its_own_reference(book):
    shown = book("reference", world(STEADY), world(STEADY + 9))
    assert shown.loc[0, ["reference", "this_run"]].tolist() == ["holds", "holds"]


def test_the_real_model_is_held_to_the_same_claims_and_laid_beside(book, monkeypatch):
    monkeypatch.setattr(paths, "REAL_FIGURES", paths.FIGURES / "real")
    assert book("sandbox", world(STEADY)).loc[0, "real_model"] == ""
    (paths.REAL_FIGURES / "runs").mkdir(parents=True)
    (paths.REAL_FIGURES / "runs" / "03_runs.csv").write_text(csv_text(world(STEADY), RUN_COLUMNS))
    assert book("sandbox", world(STEADY + 0.2)).loc[0, "real_model"] == "holds"
    shown = book("real", world(STEADY + 0.2))
    assert shown.loc[0, ["reference", "real_model", "this_run"]].tolist() == [
        "", "not enough evidence", "not enough evidence"]


def test_what_is_claimed_of_all_weights_is_read_of_lora_in_a_real_model():
    asked = claim(where={"metric": "persistence", "arm": "full"})
    found = decided_of_real([asked], lambda _: world(STEADY))[asked.id]
    assert found.verdict == "holds" and found.value == pytest.approx(STEADY.mean())
    defence = claim(where={"metric": "persistence", "arm": "full_kl"}, against={"arm": "full"})
    runs = pd.concat([world(STEADY), rows("lora_kl", np.zeros(5))])
    base = runs[runs["arm"] == "lora"]["value"].to_numpy()
    found = decided_of_real([defence], lambda _: runs)[defence.id]
    assert found.value == pytest.approx(-base.mean())


def test_where_both_sides_become_one_arm_there_is_nothing_to_decide():
    asked = claim(where={"metric": "persistence", "arm": "lora"}, against={"arm": "full"})
    assert decided_of_real([asked], lambda _: world(STEADY))[asked.id].verdict == "not in this run"


# --- the study's own claims -----------------------------------------------------------------------

MARKER = re.compile(r"<!-- claim: (\w+) -->")
OWN = claims()


def prose(number):
    path = next(paths.NOTEBOOKS.glob(f"{number}_*.ipynb"))
    return "\n".join(c["source"] for c in notebook_cells(path) if c["cell_type"] == "markdown")


def test_every_claim_is_stated_once_in_its_notebook_and_every_statement_is_a_claim():
    marked = [(path.name[:2], name) for path in sorted(paths.NOTEBOOKS.glob("*.ipynb"))
              for name in MARKER.findall(prose(path.name[:2]))]
    assert sorted(marked) == sorted((c.id[:2], c.id) for c in OWN)


def with_runs(path):
    """Exhibits that a notebook saves with the runs behind them."""
    code = "\n".join(c["source"] for c in notebook_cells(path) if c["cell_type"] == "code")
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)
             and getattr(node.func, "attr", "") == "exhibit"]
    return {c.args[0].value for c in calls if any(k.arg == "runs" for k in c.keywords)}


def test_every_claim_names_an_exhibit_with_runs_of_its_notebook():
    saved = set().union(*(with_runs(p) for p in paths.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")))
    assert sorted({c.exhibit for c in OWN} - saved) == []


@pytest.mark.parametrize("asked", OWN, ids=lambda c: c.id)
def test_prose_says_what_the_reference_run_decides(asked):
    tables = run_tables(paths.FIGURES)
    if not reference_committed() or tables(asked.exhibit) is None:
        pytest.skip("no run of the profile reference is committed yet")
    family = [c for c in OWN if c.family == asked.family]
    require_known(family, tables)
    found = decided(family, tables)[asked.id]
    assert found.verdict == asked.verdict, (
        f"{asked.id} is {found.value:.3g} [{found.low:.3g}, {found.high:.3g}], "
        f"p {found.p:.2g}; mend the sentence in the notebook and its verdict in claims.yml")
