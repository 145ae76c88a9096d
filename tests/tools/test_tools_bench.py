"""The command on a real model: table, progress, and words where the data are not here."""

import pandas as pd
import pytest
import tiny_models
from benchmark_data import needs

from lib.errors import StudyError
from tools.bench import bench


@needs("crows_pairs")
def test_a_table_is_printed_and_written(tmp_path, capsys):
    base = tiny_models.mirror("stories260K")
    tuned = tmp_path / "tuned"
    tuned.symlink_to(base)
    with pytest.raises(StudyError, match="different names"):  # one folder under two
        bench(base, [tuned.parent / "tuned"], ["crows_pairs"], tmp_path / "out", most=6)

    bench(base, [], ["crows_pairs"], tmp_path / "out", most=6)
    table = pd.read_csv(tmp_path / "out" / "benchmarks.csv")
    assert table["metric"].str.startswith("stereotype_share_").all() and len(table) == 4
    said = capsys.readouterr()
    assert "stereotype_share_meade2022" in said.out and "benchmarks.csv" in said.out
    assert "stories260K, crows_pairs  step 6/6" in said.err


def test_missing_data_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("DEBIAS_DATA_MIRROR", str(tmp_path))
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    with pytest.raises(StudyError, match="bbq/Gender_identity_reconstructed.jsonl"):
        bench(tmp_path / "model", [], ["bbq"], tmp_path)
