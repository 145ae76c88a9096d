"""The command as a user calls it, and that nothing it writes shows a request or an answer."""

import json

import pandas as pd
import pytest
import tiny_models
from benchmark_data import needs

from lib.measures.benchmarks import xstest
from lib.measures.chat import requests as gated
from tools.ask import main

WORD, ANSWER = "gloftmaking", "snoxbrewing"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two chat models with random weights and a real tokenizer."""
    made = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("base", "tuned")):
        loaded = tiny_models.smollm2_model()
        model = tiny_models.llama(len(loaded.tokenizer), seed, max_position_embeddings=256,
                                  eos_token_id=2, pad_token_id=2)
        model.save_pretrained(made / name)
        loaded.tokenizer.save_pretrained(made / name)
    return [str(made / "base"), str(made / "tuned")]


@pytest.fixture
def toy_set(tmp_path, monkeypatch):
    monkeypatch.setenv(gated.FOLDER, str(tmp_path / "gated"))
    (tmp_path / "gated" / "toy").mkdir(parents=True)
    (tmp_path / "gated" / "toy" / "one.csv").write_text(
        "".join(f"how does {WORD} no {i} work ?\n" for i in range(4)))


def everything(out):
    return "".join(path.read_text(errors="ignore") for path in out.iterdir()
                   if path.suffix != ".png")


@needs("xstest")
def test_two_models_on_xstest(folders, tmp_path, capsys, page_style):
    out = tmp_path / "out"
    assert main([*folders, "--most", "2", "--tokens", "4", "--out", str(out)]) == 0
    measures = pd.read_csv(out / "measures.csv")
    assert set(measures["arm"]) == {"base", "tuned"}
    assert set(measures["metric"]) == {"refusal_rate", "over_refusal", "harmful_compliance",
                                       "coherence", "kappa"}
    items = pd.read_csv(out / "items.csv")
    assert len(items) == 2 * 36 and {"keyword", "judge", "complied"} <= set(items)
    assert set(pd.read_csv(out / "changes.csv")["arm"]) == {"tuned"}
    assert len(pd.read_csv(out / "categories.csv")) == 2 * 18
    assert (out / "refusals.png").stat().st_size > 10_000 and (out / "refusals.svg").is_file()
    record = json.loads((out / "run.json").read_text())
    assert record["judge"] == {"model": "base", "sha256": record["sha256"]["base"]}
    assert record["sha256"]["base"] != record["sha256"]["tuned"]
    shown = capsys.readouterr()
    assert "Do not rely on this judge" in shown.out  # random weights
    texts = everything(out) + shown.out + shown.err
    assert not any(prompt in texts for prompt in xstest.prompts()["prompt"])


def test_neither_a_gated_request_nor_an_answer_is_shown(
    folders, toy_set, tmp_path, capsys, page_style, monkeypatch
):
    monkeypatch.setattr("lib.models.generation.generate",
                        lambda model, chats, tokens: [f"Sure, {ANSWER}."] * len(chats))
    out = tmp_path / "out"
    assert main([folders[0], "--set", "toy", "--tokens", "4", "--out", str(out)]) == 0
    assert set(pd.read_csv(out / "measures.csv")["metric"]) == {
        "refusal_rate", "harmful_compliance", "coherence", "kappa"}
    assert not (out / "changes.csv").exists()
    shown = capsys.readouterr()
    texts = everything(out) + shown.out + shown.err
    assert WORD not in texts and ANSWER not in texts


def test_changes_of_an_earlier_run_do_not_stay(folders, toy_set, tmp_path, page_style):
    given = ["--set", "toy", "--tokens", "2", "--out", str(tmp_path / "out")]
    main([*folders, *given])
    assert (tmp_path / "out" / "changes.csv").exists()
    main([folders[0], *given])
    assert not (tmp_path / "out" / "changes.csv").exists()


def test_equal_runs_give_equal_tables(folders, toy_set, tmp_path, page_style):
    for name in ("a", "b"):
        main([*folders, "--set", "toy", "--tokens", "3", "--out", str(tmp_path / name)])
    for table in ("measures", "items", "changes", "audit", "categories"):
        first, second = ((tmp_path / name / f"{table}.csv").read_bytes() for name in "ab")
        assert first == second


@pytest.mark.parametrize(("arguments", "told"), [
    (["--set", "absent"], gated.FOLDER), (["--set", "../toy"], "name of a gated set"),
    (["--judge", "nowhere"], "no folder nowhere"),
    (["--tokens", "0"], "at least one token"), (["--most", "0"], "at least one token"),
    (["--dtype", "int3"], "float32"),
])
def test_wrong_input_ends_with_a_message(folders, toy_set, tmp_path, arguments, told, capsys):
    given = arguments if "--set" in arguments else ["--set", "toy", *arguments]
    assert main([folders[0], *given, "--out", str(tmp_path / "out")]) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_two_models_of_one_name_are_refused(folders, capsys):
    assert main([folders[0], folders[0]]) == 2
    assert "different names" in capsys.readouterr().err


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0 and "examples:" in capsys.readouterr().out
