"""Comparison of a run's tables with committed ones, on small tables with planted differences."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from lib.study.paths import FIGURES
from tools import reference
from tools.reference import Tolerance, Tolerances, compare, compare_tables

LIMITS = Tolerances(
    default=Tolerance(absolute=0.01),
    metrics={"refusal_rate": Tolerance(absolute=0.05), "task_loss": Tolerance(relative=0.10)},
    exhibits={"03_special": {"refusal_rate": Tolerance(absolute=0.5)}},
    exact_columns=("n", "seeds"),
    ignored_columns=("seconds",),
)


def table(**changes):
    """Two rows of an exhibit; `changes` replaces whole columns."""
    columns = {
        "arm": ["base", "lora"], "condition": ["forbidden", "forbidden"],
        "metric": ["refusal_rate", "task_loss"], "value": [0.90, 2.0], "low": [0.85, 1.9],
        "high": [0.95, 2.1], "n": [200, 200], "seeds": [3, 3],
    }
    return pd.DataFrame({**columns, **changes})


def differences(found, committed=None, exhibit="03_refusals"):
    committed = table() if committed is None else committed
    return compare_tables(exhibit, found, committed, LIMITS).differences


def test_equal_tables_pass_and_every_cell_is_counted():
    result = compare_tables("03_refusals", table(), table(), LIMITS)
    assert result.passed and result.cells == 2 * 5
    assert str(result) == "ok    03_refusals: 10 cells"


@pytest.mark.parametrize(("value", "same"), [(0.94, True), (0.86, True), (0.96, False)])
def test_absolute_tolerance_of_the_metric_decides(value, same):
    assert (differences(table(value=[value, 2.0])) == ()) is same


@pytest.mark.parametrize(("value", "same"), [(2.19, True), (1.81, True), (2.21, False)])
def test_relative_tolerance_is_relative_to_the_committed_value(value, same):
    assert (differences(table(value=[0.90, value])) == ()) is same


def test_bounds_of_intervals_are_compared_too():
    assert differences(table(low=[0.60, 1.9])) == (
        "base / forbidden / refusal_rate: low 0.6, committed 0.85",
    )


def test_an_exhibits_own_tolerance_goes_before_the_general_one():
    assert differences(table(value=[0.50, 2.0]), exhibit="03_special") == ()
    assert differences(table(value=[0.50, 2.0]), exhibit="03_refusals") != ()


def test_counts_must_agree_exactly():
    assert differences(table(n=[200, 201])) == (
        "lora / forbidden / task_loss: n 201, committed 200",
    )


def test_ignored_columns_may_differ_and_text_columns_may_not():
    committed = table(seconds=[1.0, 2.0], note=["a", "b"])
    assert differences(table(seconds=[9.0, 9.0], note=["a", "b"]), committed) == ()
    assert len(differences(table(seconds=[1.0, 2.0], note=["a", "x"]), committed)) == 1


def test_missing_values_agree_only_with_missing_values():
    gap = table(low=[np.nan, 1.9])
    assert differences(gap, gap) == ()
    assert len(differences(gap)) == 1 and len(differences(table(), gap)) == 1


def test_a_value_that_may_be_undefined_may_be_missing_on_one_side():
    limits = Tolerances(Tolerance(absolute=0.01, undefined=True))
    found = table(value=[np.nan, 2.0], low=[np.nan, 1.9], high=[np.nan, 2.1])
    assert compare_tables("03_any", found, table(), limits).passed
    assert not compare_tables("03_any", table(value=[0.5, 2.0]), table(), limits).passed


@pytest.mark.parametrize(("value", "same"), [(0.985, True), (1.015, False)])
def test_intervals_give_slack_in_their_own_width(value, same):
    # 0.01 and one width of 0.10: the committed interval is [0.85, 0.95].
    limits = Tolerances(Tolerance(absolute=0.01), intervals=1.0)
    assert compare_tables("03_any", table(value=[value, 2.0]), table(), limits).passed == same


def test_a_row_without_interval_has_no_slack():
    limits = Tolerances(Tolerance(absolute=0.01), intervals=1.0)
    bare = table(low=[np.nan, 1.9], high=[np.nan, 2.1])
    moved = bare.assign(value=[0.93, 2.0])
    assert not compare_tables("03_any", moved, bare, limits).passed


def test_missing_and_new_rows_are_named():
    found = table(arm=["base", "full"])
    assert differences(found) == (
        "missing row: lora / forbidden / task_loss", "new row: full / forbidden / task_loss",
    )


def test_other_columns_are_reported_before_any_value():
    assert differences(table().drop(columns="seeds"))[0].startswith("columns arm, condition")


def test_rows_in_another_order_are_a_difference():
    assert "another order" in differences(table().iloc[::-1].reset_index(drop=True))[0]


def test_report_lists_a_few_differences_and_counts_the_rest():
    wrong = table(value=[0.1, 9.0], low=[0.0, 8.0], high=[0.2, 10.0])
    text = str(compare_tables("03_refusals", wrong, table(), LIMITS))
    assert text.startswith("FAIL  03_refusals: 6 differences\n")
    assert text.endswith("and 3 more") and len(text.splitlines()) == 5


@pytest.fixture
def folders(tmp_path):
    """Folders of found and committed tables with two equal exhibits, and a tolerance file."""
    for side in ("found", "committed"):
        (tmp_path / side).mkdir()
        for exhibit in ("01_world", "03_refusals"):
            table().to_csv(tmp_path / side / f"{exhibit}.csv", index=False)
    limits = {"default": {"absolute": 0.01}, "exact_columns": ["n"]}
    (tmp_path / "tolerances.yml").write_text(yaml.safe_dump(limits))
    return tmp_path


@pytest.fixture
def command(folders, side_effects):
    def call():
        return side_effects("compare", "--found", str(folders / "found"), "--committed",
                            str(folders / "committed"), "--tolerances",
                            str(folders / "tolerances.yml"))

    return call


def test_command_passes_on_equal_folders(folders, command, capsys):
    assert command() == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 exhibits agree, 0 differ"


@pytest.fixture
def run_of(tmp_path, side_effects):
    """Compares a run's table with a committed one, each made on a processor."""
    def call(found, ours, committed, theirs):
        for side, content, cpu, name in (("run", found, ours, "manifest.json"),
                                         ("book", committed, theirs, "figures/run.json")):
            folder = tmp_path / side / "figures" / "tables"
            folder.mkdir(parents=True)
            content.to_csv(folder / "03_refusals.csv", index=False)
            (tmp_path / side / name).write_text(json.dumps({"hardware": {"cpu": cpu}}))
        places = [str(tmp_path / side / "figures" / "tables") for side in ("run", "book")]
        return side_effects("compare", "--found", places[0], "--committed", places[1])

    return call


def test_values_of_the_same_processor_are_judged(run_of, capsys):
    assert run_of(table(value=[0.1, 2.0]), "AMD EPYC", table(), "AMD EPYC") == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 exhibits agree, 1 differ"


def test_values_of_another_processor_are_shown_and_not_judged(run_of, capsys):
    assert run_of(table(value=[0.1, 2.0]), "Intel Xeon", table(), "AMD EPYC") == 0
    text = capsys.readouterr().out
    assert "FAIL  03_refusals: 1 differences" in text
    assert text.splitlines()[-1] == ("0 exhibits agree, 0 differ, 1 not judged: made on "
                                     "Intel Xeon, the reference on AMD EPYC")


def test_rows_are_judged_on_any_processor(run_of, capsys):
    assert run_of(table(arm=["base", "full"]), "Intel Xeon", table(), "AMD EPYC") == 1
    assert "0 exhibits agree, 1 differ, 0 not judged" in capsys.readouterr().out


def test_command_fails_on_a_table_that_the_run_did_not_make(folders, command, capsys):
    (folders / "found" / "03_refusals.csv").unlink()
    assert command() == 1
    assert "the run made no such table" in capsys.readouterr().out


def test_command_fails_on_a_table_that_is_not_committed(folders, command, capsys):
    (folders / "committed" / "03_refusals.csv").unlink()
    assert command() == 1
    assert "not committed" in capsys.readouterr().out


def test_command_fails_where_there_is_nothing_to_compare(tmp_path, folders, command, capsys):
    for path in folders.glob("*/*.csv"):
        path.unlink()
    assert command() == 2
    assert "run the study first" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b'a,b\n"1', b"a\n\xff\n"])
def test_a_table_that_cannot_be_read_is_a_difference(folders, command, capsys, content):
    (folders / "found" / "03_refusals.csv").write_bytes(content)
    assert command() == 1
    assert "1 exhibits agree, 1 differ" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["default: 3", "metrics: {}", "default: {far: 1}", "- 1"])
def test_tolerances_that_are_none_are_explained(folders, command, capsys, text):
    (folders / "tolerances.yml").write_text(text)
    assert command() == 2
    assert "tolerances.yml" in capsys.readouterr().err


def test_only_the_exhibits_of_the_notebooks_asked_for_are_compared(folders):
    results = compare(folders / "found", folders / "committed", LIMITS, "03,04")
    assert [result.exhibit for result in results] == ["03_refusals"]


def test_exhibits_are_compared_in_order_of_their_ids(folders):
    results = compare(folders / "found", folders / "committed", LIMITS)
    assert [result.exhibit for result in results] == ["01_world", "03_refusals"]


def test_committed_tolerances_are_read_and_none_is_wide_open():
    limits = reference.load_tolerances()
    bounds = [limits.default, *limits.metrics.values()]
    assert all(0 < b.absolute + b.relative <= 0.2 for b in bounds)
    assert 0 < limits.intervals <= 1
    assert limits.of("02_any", "implied_persistence") == limits.metrics["implied_persistence"]
    assert limits.of("02_any", "unheard_of") == limits.default


def test_committed_exhibits_agree_with_themselves():
    tables = FIGURES / "tables"
    results = compare(tables, tables, reference.load_tolerances())
    assert all(result.passed for result in results)
