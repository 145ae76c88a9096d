"""The command on a real model: table, progress, and words where the data are not here."""

import pandas as pd
import tiny_models
from benchmark_data import needs

from tools.bench import bench


@needs("crows_pairs")
def test_a_table_is_printed_and_written(tmp_path, capsys):
    base = tiny_models.mirror("stories260K")
    tuned = tmp_path / "tuned"
    tuned.symlink_to(base)
    assert bench(base, [tuned.parent / "tuned"], ["crows_pairs"], tmp_path / "out", most=6) == 2
    assert "different names" in capsys.readouterr().err  # one folder under two names

    assert bench(base, [], ["crows_pairs"], tmp_path / "out", most=6) == 0
    table = pd.read_csv(tmp_path / "out" / "benchmarks.csv")
    assert table["metric"].str.startswith("stereotype_share_").all() and len(table) == 4
    said = capsys.readouterr()
    assert "stereotype_share_meade2022" in said.out and "benchmarks.csv" in said.out
    assert "stories260K, crows_pairs  step 6/6" in said.err


def test_missing_data_are_one_paragraph(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEBIAS_DATA_MIRROR", str(tmp_path))
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    assert bench(tmp_path / "model", [], ["bbq"], tmp_path) == 2
    error = capsys.readouterr().err
    assert "bbq/Gender_identity_reconstructed.jsonl" in error and "Traceback" not in error
