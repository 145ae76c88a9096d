"""Published figures: loader, and the rows against what the papers print."""

import pandas as pd
import pytest

from lib.chapters import published as module
from lib.chapters.published import COLUMNS, STATUSES, names, published, published_rows
from lib.errors import CorruptArtefactError, UnknownNameError

ROW = dict.fromkeys(COLUMNS, "") | {
    "source": "S", "doi_or_url": "10/1", "quantity": "q", "value": "0.5", "status": "verified",
}


def write(folder, *rows, name="topic"):
    pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)


@pytest.mark.parametrize("name", names())
def test_every_committed_table_loads_with_declared_types(name):
    frame = published(name)
    kinds = {"sd" if name == "se" and "sd" in frame else name: k for name, k in COLUMNS.items()}
    assert len(frame) and frame.dtypes.astype(str).to_dict() == kinds


def test_human_implied_persistence_is_that_of_the_paper():
    frame = published("extrapolation")
    human = frame[frame["condition"] == "experiment 1, horizon 1"]
    assert human["rho"].tolist() == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert human["value"].tolist() == [0.45, 0.62, 0.77, 0.85, 0.91, 0.99]
    assert human["se"].isna().tolist() == [True, False, False, False, False, True]
    assert human["n"].sum() == 207 and set(human["status"]) == {"verified"}


def test_the_articles_pair_is_marked_as_misread_and_its_readings_as_unverified():
    frame = published("extrapolation")
    pair = frame[frame["value"].isin([-0.073, -0.027])]
    by_value = pair.groupby("value")["status"].apply(set).to_dict()
    assert by_value == {-0.073: {"secondary", "misread"}, -0.027: {"inference", "misread"}}


def test_the_range_before_fine_tuning_is_verified():
    frame = published("extrapolation")
    before = frame[(frame["quantity"] == "error_revision") & (frame["status"] == "verified")]
    assert sorted(before["value"]) == [-0.456, -0.260]


def test_rows_are_the_files_own_with_rho_where_there_is_one():
    rows, facts = published_rows("extrapolation"), published("extrapolation")
    human = rows[(rows["arm"] == "human participants") & (rows["rho"] == 0.2)].iloc[0]
    stored = facts[(facts["subject"] == "human participants") & (facts["rho"] == 0.2)].iloc[0]
    assert human["value"] == stored["value"]
    assert human["high"] - human["value"] == pytest.approx(1.96 * stored["se"])
    assert "rho" not in published_rows("safety")


def test_a_standard_deviation_over_runs_becomes_an_interval_of_their_mean():
    rows = published_rows("gender", arm="condition", condition="quantity")
    full = rows[(rows["arm"] == "full") & (rows["metric"] == "SS")].iloc[0]
    assert full["value"] == 61.4705
    assert full["high"] - full["value"] == pytest.approx(1.96 * 0.7856 / 10**0.5)


def test_safety_rows_tell_verified_figures_from_those_read_off_a_plot():
    rows = published_rows("safety")
    told = rows[rows["source"].str.contains("2023")]
    plotted = told["condition"].str.contains(", batch ")
    assert plotted.sum() == 8 and set(told.loc[plotted, "status"]) == {"secondary"}
    assert set(told.loc[~plotted, "status"]) == {"verified"}
    ten = told[(told["condition"] == "explicit 10")].set_index("arm")["value"]
    assert ten.to_dict() == {"Llama-2-7b-Chat": 0.5, "GPT-3.5 Turbo": 0.888}
    later = rows[rows["source"].str.contains("2024")]
    assert (later["low"].isna() | (later["low"] < later["value"])).all()


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        published("extrapolaton")
    assert caught.value.fix == "use 'extrapolation'"


def test_folder_without_tables_still_gives_an_answer(tmp_path):
    with pytest.raises(UnknownNameError, match="add anything.csv to data/published"):
        published("anything", tmp_path)


def test_empty_cells_are_missing_numbers_and_empty_text(tmp_path):
    write(tmp_path, ROW)
    row = published("topic", tmp_path).iloc[0]
    assert row["value"] == 0.5 and row["note"] == ""
    assert row[["rho", "se", "n"]].isna().all()


def test_text_that_looks_like_a_missing_value_stays_text(tmp_path):
    write(tmp_path, ROW | {"note": "NA"})
    assert published("topic", tmp_path)["note"].tolist() == ["NA"]


@pytest.mark.parametrize("change", [{"status": "certain"}, {"source": ""}, {"doi_or_url": ""},
                                    {"quantity": ""}, {"value": ""}, {"value": "many"},
                                    {"n": "3.5"}])
def test_a_row_that_cannot_be_traced_or_read_is_refused(tmp_path, change):
    write(tmp_path, ROW, ROW | change)
    with pytest.raises(CorruptArtefactError, match="restore data/published/topic.csv from git"):
        published("topic", tmp_path)


def test_other_columns_are_refused(tmp_path):
    write(tmp_path, {"source": "S", "value": "1"})
    with pytest.raises(CorruptArtefactError, match="columns source, value"):
        published("topic", tmp_path)


def test_statuses_are_all_explained_in_the_module():
    assert all(f"``{status}``" in module.__doc__ for status in STATUSES)
