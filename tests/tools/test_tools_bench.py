"""The command on a real model: table, progress, and words where the data are not here."""

import pandas as pd
import pytest
import tiny_models
from benchmark_data import needs
from toy_toxigen import GROUPS, WORD, lay, table

from lib.errors import StudyError
from lib.measures.benchmarks.report import BENCHMARKS
from lib.measures.chat.requests import FOLDER
from tools import bench as command
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


def test_a_gated_benchmark_is_asked_by_its_name_alone(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(command, "benchmark_report", lambda *given: asked.append(given[2]) or (
        pd.DataFrame({"value": [1.0]})))
    bench(tmp_path, [], [], tmp_path)
    bench(tmp_path, [], ["toxigen"], tmp_path)
    assert asked == [[name for name in BENCHMARKS if name != "toxigen"], ["toxigen"]]


def saved(folder, seed):
    """A model with random weights and a real tokenizer."""
    loaded = tiny_models.smollm2_model()
    tiny_models.llama(len(loaded.tokenizer), seed, max_position_embeddings=256, eos_token_id=2,
                      pad_token_id=2).save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


def test_no_statement_of_toxigen_is_printed_or_written(
    tmp_path, monkeypatch, capfd, caplog, recwarn, side_effects
):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv(FOLDER, str(tmp_path / "gated"))
    caplog.set_level(0)
    lay(tmp_path / "gated")
    folders = [str(saved(tmp_path / name, seed)) for seed, name in enumerate(("a", "b", "c"))]
    assert side_effects("bench", *folders, "--benchmark", "toxigen") == 0
    found = pd.read_csv(tmp_path / "runs" / "bench" / "benchmarks.csv")
    metrics = ["accuracy", "auroc"]
    assert found["metric"].tolist() == 3 * metrics + 3 * [f"{name}_change" for name in metrics]
    assert found["value"].notna().all() and (found["n"] == len(table())).all()
    told = capfd.readouterr()
    written = [path.read_bytes().decode(errors="ignore") for path in tmp_path.rglob("*")
               if path.is_file() and (tmp_path / "gated") not in path.parents
               and path.name != "tokenizer.json"]
    shown = [told.out, told.err, caplog.text, *(str(one.message) for one in recwarn), *written]
    assert "accuracy_change" in told.out and any("toxigen" in one for one in written)
    assert not any(word in one for one in shown for word in (WORD, *GROUPS))


@pytest.mark.parametrize("spoiled, told", [
    ({"toxicity_ai": WORD}, "numbers in toxicity_ai"), ({"text": ""}, "a text in every row"),
])
def test_no_statement_of_a_broken_file_is_printed(
    tmp_path, monkeypatch, capfd, side_effects, spoiled, told
):
    monkeypatch.setenv(FOLDER, str(tmp_path / "gated"))
    lay(tmp_path / "gated", table().assign(**spoiled))
    out = str(tmp_path / "out")
    assert side_effects("bench", "model", "--benchmark", "toxigen", "--out", out) == 2
    said = capfd.readouterr()
    assert told in said.err and WORD not in said.out + said.err
