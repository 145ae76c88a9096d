"""Study: a notebook's view; exhibits in fixed form and fixed bytes."""

import errno
import json
import os

import matplotlib
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lib.errors import InvalidValueError, StorageError, UnknownNameError
from lib.study import paths
from lib.study.fingerprint import file_sha256
from lib.study.notebook import (
    COLUMNS,
    RUN_HEADS,
    Study,
    cell_to_run,
    csv_text,
    figure_bytes,
    read_table,
)
from lib.study.profiles import load_profile

ROW = dict(arm="base", condition="all", metric="rho", value=1 / 3, low=0.1, high=0.5, n=9, bases=4,
           runs=8)


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def study():
    return Study("smoke", 5, {"finetune.rank": 3}, notebook="03")


def table(**changes):
    return pd.DataFrame([ROW | changes])


def draw():
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label="line")
    axes.fill_between([0, 1], [0, 0], [1, 2])
    axes.legend()
    return figure


def test_settings_seed_and_places(study, runs):
    assert (study.seed, study.profile.seed, study.profile.finetune.rank) == (5, 5, 3)
    assert study.run_dir == runs.resolve() / "smoke"
    assert study.store.root == study.run_dir


def test_seed_of_the_profile_without_one():
    assert Study("smoke", None, None, notebook="00").seed == 1


def test_opening_writes_nothing(study, runs):
    assert not runs.exists()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("smok", 1, {}, "03"), UnknownNameError),
        (("smoke", 1, {"finetune.rnk": 2}, "03"), UnknownNameError),
        (("smoke", -1, {}, "03"), InvalidValueError),
        (("smoke", 1, {}, "3"), InvalidValueError),
        (("smoke", 1, "[1]", "03"), InvalidValueError),
        (("smoke", 1, "rank", "03"), InvalidValueError),
        (("smoke", 1, "{a: 1", "03"), InvalidValueError),
        (("smoke", 1, 3, "03"), InvalidValueError),
        (("smoke", 1, "{finetune.rnk: 2}", "03"), UnknownNameError),
    ],
)
def test_bad_arguments(arguments, error):
    with pytest.raises(error):
        Study(*arguments)


@pytest.mark.parametrize("text", ['{"finetune.rank": 3, "seed": 9}', "finetune.rank: 3\nseed: 9",
                                  "{finetune.rank: 3, seed: 9}"])
def test_overrides_may_be_text_as_papermill_gives_them(text):
    study = Study("smoke", None, text, "03")
    assert (study.profile.finetune.rank, study.seed) == (3, 9)
    assert Study("smoke", 5, text, "03").seed == 5


@pytest.mark.parametrize("nothing", ["", "{}", "null", None, {}])
def test_no_overrides(nothing):
    assert Study("smoke", 5, nothing, "03").profile == Study("smoke", 5).profile


def test_exhibit_files(study, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_TRACE", str(tmp_path / "trace"))
    study.exhibit("03_correction", table(), draw())
    figures = study.run_dir / "figures"
    names = ["figures/03_correction.png", "figures/03_correction.svg",
             "figures/tables/03_correction.csv"]
    assert sorted(p.relative_to(study.run_dir).as_posix()
                  for p in figures.rglob("*") if p.is_file()) == names
    traced = json.loads((tmp_path / "trace").read_text())
    assert traced["exhibit"] == "03_correction" and sorted(traced["files"]) == names


def test_table_without_figure(study):
    study.exhibit("03_numbers", table())
    assert not list((study.run_dir / "figures").glob("*.png"))


RUN_ROW = dict(arm="lora", condition=0.2, metric="rho", base=3, seed=2, value=1 / 3, se=None,
               df=None, n=9, least=0.0, most=1.0, attack="benign")


def test_the_runs_behind_a_table_are_saved_beside_it(study):
    study.exhibit("03_runs", table(), runs=pd.DataFrame([RUN_ROW]))
    header, row = (study.run_dir / "figures/runs/03_runs.csv").read_text().splitlines()
    assert header == ",".join(RUN_HEADS) + ",least,most,attack"
    assert row == "lora,0.2,rho,3,2,0.333333,,,9,0,1,benign"
    with pytest.raises(InvalidValueError, match="no base, seed"):
        study.exhibit("03_runs", table(), runs=pd.DataFrame([RUN_ROW]).drop(
            columns=["base", "seed"]))


def test_a_saved_table_is_read_back_with_numbers_among_its_conditions(study):
    mixed = pd.concat([table(condition=c, low=None) for c in (0.2, "all", 0.0)])
    study.exhibit("03_mixed", mixed)
    found = read_table(study.run_dir / "figures/tables/03_mixed.csv")
    assert found["condition"].tolist() == [0.2, "all", 0.0]
    assert found["low"].isna().all() and found["n"].tolist() == [9, 9, 9]


# --- the committed reference ----------------------------------------------------------------------

@pytest.fixture
def committed(tmp_path, monkeypatch):
    """Writes a committed table; what is read of it is traced."""
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "book")
    monkeypatch.setenv("STUDY_TRACE", str(tmp_path / "trace"))

    def write(frame=None):
        path = tmp_path / "book" / "tables" / "03_x.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((table() if frame is None else frame).to_csv(index=False))
        return path

    return write


def traced(tmp_path):
    return [json.loads(line) for line in (tmp_path / "trace").read_text().splitlines()]


def test_a_part_of_the_reference_sees_its_tables(committed, tmp_path):
    path = committed()
    found = Study("sandbox", notebook="03").reference("03_x")
    assert found.loc[0, "value"] == 1 / 3 and list(found) == COLUMNS
    assert traced(tmp_path) == [{"committed": "tables/03_x.csv", "sha256": file_sha256(path)}]


@pytest.mark.parametrize(("profile", "seed", "overrides"), [
    ("reference", None, {}), ("smoke", None, {}), ("sandbox", 7, {}),
    ("sandbox", None, {"evaluation.items": 50}), ("sandbox", None, {"finetune.rank": 3}),
    ("sandbox", None, {"bases.numbers": [1, 77]}), ("sandbox", None, {"bases.seeds": 3}),
])
def test_no_reference_for_itself_or_for_other_settings(committed, profile, seed, overrides):
    committed()
    assert Study(profile, seed, overrides, notebook="03").reference("03_x") is None


def test_fewer_bases_or_arms_or_processes_are_still_a_part(committed):
    committed()
    arms = {"full": {"method": "full", "learning_rates": [0.0015, 0.003]}}
    own = load_profile("reference").safety.arms["full"].model_dump()
    for given in ({"bases.numbers": [2]}, {"pretrain.workers": 1}, {"safety.arms": {"full": own}}):
        assert Study("sandbox", None, given, notebook="03").reference("03_x") is not None
    other = {"safety.arms": {"full": arms["full"] | {"learning_rates": [0.05]}}}
    assert Study("sandbox", None, other, notebook="03").reference("03_x") is None


def test_where_no_table_of_this_form_is_committed_there_is_none(committed, tmp_path):
    study = Study("sandbox", notebook="03")
    assert study.reference("03_x") is None
    assert traced(tmp_path) == [{"committed": "tables/03_x.csv", "sha256": ""}]
    committed(table().drop(columns="bases"))
    assert study.reference("03_x") is None


def test_fixed_columns_come_first_and_floats_have_six_digits():
    frame = table(value=123456.789, low=-0.0, high=1e-9)[list(reversed(COLUMNS))]
    frame.insert(0, "note", "x,y")
    header, row = csv_text(frame, COLUMNS).splitlines()
    assert header == ",".join(COLUMNS) + ",note"
    assert row == 'base,all,rho,123457,0,1e-09,9,4,8,"x,y"'


def test_counts_with_gaps_stay_whole():
    frame = pd.concat([table(n=12345678), table(n=None)])
    lines = csv_text(frame, COLUMNS).splitlines()[1:]
    assert [line.split(",")[6] for line in lines] == ["12345678", ""]


@pytest.mark.parametrize("gap", [None, float("nan"), pd.NA, pd.NaT])
def test_gaps_are_empty(gap):
    frame = pd.DataFrame([ROW | {"low": gap}], dtype=object)
    assert csv_text(frame, COLUMNS).splitlines()[1] == "base,all,rho,0.333333,,0.5,9,4,8"


@pytest.mark.parametrize("id", ["02_other", "03-slug", "03_", "03_Big", "3_x", "03_a/b", "03_ä"])
def test_wrong_id_is_refused_and_nothing_written(study, id, runs):
    with pytest.raises(InvalidValueError, match="03_"):
        study.exhibit(id, table())
    assert not runs.exists()


def test_missing_columns_are_named(study):
    with pytest.raises(InvalidValueError, match="no low, high"):
        study.exhibit("03_x", table().drop(columns=["low", "high"]))


@pytest.mark.parametrize("format", ["png", "svg"])
def test_figure_bytes_do_not_depend_on_the_moment(format, monkeypatch):
    one = figure_bytes(draw(), format, "03_x")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    assert figure_bytes(draw(), format, "03_x") == one
    assert matplotlib.__version__.encode() not in one


@pytest.mark.parametrize("format", ["png", "svg"])
def test_a_users_settings_do_not_reach_a_saved_figure(format):
    plain, figure = figure_bytes(draw(), format, "03_x"), draw()
    with matplotlib.rc_context({
        "savefig.dpi": 50, "savefig.facecolor": "red", "savefig.transparent": True,
        "savefig.bbox": "tight", "savefig.pad_inches": 1, "svg.fonttype": "none",
        "svg.hashsalt": "x", "path.simplify": False, "agg.path.chunksize": 100,
        "image.composite_image": False,
    }):
        assert figure_bytes(figure, format, "03_x") == plain


def test_saved_figures_have_two_hundred_dots_an_inch():
    png = figure_bytes(Figure(figsize=(3, 2)), "png", "03_x")
    assert (int.from_bytes(png[16:20]), int.from_bytes(png[20:24])) == (600, 400)


def test_full_disk(study, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError):
        study.exhibit("03_x", table())
    assert not [p for p in study.run_dir.rglob("*") if p.is_file()]


@pytest.mark.parametrize(("place", "planted", "runs"), [
    ("in the planted world", True, True), ("in the planted world", False, False),
    ("for a real model", True, False), ("for a real model", False, True)])
def test_a_cell_for_one_kind_of_model_is_passed_over_by_the_other(place, planted, runs):
    lines = [f"# Only {place}: because.\n", "x = 1\n"]
    told = cell_to_run(lines, planted)
    assert told == (lines if runs else [f"print('Only {place}: because.')\n"])
    assert cell_to_run(["x = 1\n"], planted) == ["x = 1\n"] and cell_to_run([], planted) == []
