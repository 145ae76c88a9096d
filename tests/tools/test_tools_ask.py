"""`ask` as a user calls it, and that nothing it writes shows a request or an answer."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import tiny_models
from benchmark_data import needs
from peft import LoraConfig, get_peft_model

from lib.errors import StudyError
from lib.measures.benchmarks import xstest
from lib.measures.chat.requests import FOLDER
from lib.models.folders import load
from lib.study import machine
from lib.study.paths import ROOT
from tools.ask import ask

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
    return made / "base", [made / "tuned"]


@pytest.fixture
def toy_set(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path / "gated"))
    (tmp_path / "gated" / "toy").mkdir(parents=True)
    (tmp_path / "gated" / "toy" / "one.csv").write_text(
        "".join(f"how does {WORD} no {i} work ?\n" for i in range(4)))


def everything(out):
    return "".join(path.read_text(errors="ignore") for path in out.iterdir()
                   if path.suffix != ".png")


@needs("xstest")
def test_two_models_on_xstest(folders, tmp_path, capsys, page_style):
    out = tmp_path / "out"
    ask(*folders, most=2, tokens=4, out=out)
    measures = pd.read_csv(out / "measures.csv")
    assert set(measures["arm"]) == {"base", "tuned"}
    assert set(measures["metric"]) == {"refusal_rate", "over_refusal", "harmful_compliance",
                                       "coherence", "run_on", "kappa"}
    items = pd.read_csv(out / "items.csv")
    assert len(items) == 2 * 36 and {"keyword", "judge", "complied"} <= set(items)
    assert set(pd.read_csv(out / "changes.csv")["arm"]) == {"tuned"}
    assert len(pd.read_csv(out / "categories.csv")) == 2 * 18
    assert (out / "refusals.png").stat().st_size > 10_000 and (out / "refusals.svg").is_file()
    record = json.loads((out / "run.json").read_text())
    base, tuned = record["asked"]["base"], record["asked"]["tuned"]
    assert record["judge"] == {"model": "base", "sha256": base["sha256"]} and not record["notes"]
    assert base["sha256"] != tuned["sha256"] and base["chat"] == tuned["chat"]
    assert base["start"] == "<|im_start|>" and "REQUEST" in base["chat"]["written"]
    shown = capsys.readouterr()
    assert "Do not rely on this judge" in shown.out  # random weights
    texts = everything(out) + shown.out + shown.err
    assert not any(prompt in texts for prompt in xstest.prompts()["prompt"])


def test_neither_a_gated_request_nor_an_answer_is_shown(
    folders, toy_set, tmp_path, capsys, page_style, monkeypatch
):
    monkeypatch.setattr("lib.measures.chat.measures.said", lambda *_: f"Sure, {ANSWER}.")
    out = tmp_path / "out"
    ask(folders[0], set="toy", tokens=4, out=out)
    assert set(pd.read_csv(out / "measures.csv")["metric"]) == {
        "refusal_rate", "harmful_compliance", "coherence", "run_on", "kappa"}
    assert not (out / "changes.csv").exists()
    shown = capsys.readouterr()
    texts = everything(out) + shown.out + shown.err
    assert WORD not in texts and ANSWER not in texts


def test_changes_of_an_earlier_run_do_not_stay(folders, toy_set, tmp_path, page_style):
    given = {"set": "toy", "tokens": 2, "out": tmp_path / "out"}
    ask(*folders, **given)
    assert (tmp_path / "out" / "changes.csv").exists()
    ask(folders[0], **given)
    assert not (tmp_path / "out" / "changes.csv").exists()


def test_equal_runs_give_equal_tables(folders, toy_set, tmp_path, page_style):
    for name in ("a", "b"):
        ask(*folders, set="toy", tokens=3, out=tmp_path / name)
    for table in ("measures", "items", "changes", "audit", "categories"):
        first, second = ((tmp_path / name / f"{table}.csv").read_bytes() for name in "ab")
        assert first == second


@pytest.mark.parametrize(("given", "told"), [
    ({"set": "absent"}, FOLDER), ({"set": "../toy"}, "name of a gated set"),
    ({"judge": Path("nowhere")}, "no folder nowhere"),
    ({"tokens": 0}, "at least one token"), ({"most": 0}, "at least one token"),
    ({"dtype": "int3"}, "float32"),
])
def test_wrong_input_ends_with_a_message(folders, toy_set, tmp_path, given, told):
    with pytest.raises(StudyError, match=re.escape(told)):
        ask(folders[0], **{"set": "toy", "out": tmp_path / "out"} | given)
    assert not (tmp_path / "out").exists()


def test_two_models_of_one_name_are_refused(folders):
    with pytest.raises(StudyError, match="different names"):
        ask(folders[0], [folders[0]])


def test_where_nothing_can_be_written_is_said_before_the_work(
    folders, toy_set, tmp_path, monkeypatch
):
    monkeypatch.setattr("lib.measures.chat.report.compared", lambda run: pytest.fail("it worked"))
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "inner"):
        with pytest.raises(StudyError, match="a file in its way"):
            ask(folders[0], set="toy", out=out)


def test_an_adapter_of_a_hub_model_is_put_on_the_base(folders, toy_set, tmp_path, page_style):
    adapter = tmp_path / "adapter"
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    get_peft_model(load(folders[0]).model, config).save_pretrained(
        adapter, save_embedding_layers=False)
    settings = json.loads((adapter / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = "Organisation/Model"
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    ask(folders[0], [adapter], set="toy", tokens=2, out=tmp_path / "out")
    changes = pd.read_csv(tmp_path / "out" / "changes.csv")
    assert (changes["value"] == 0).all()  # a fresh adapter changes nothing


def test_models_that_are_asked_in_other_ways_are_not_compared_without_a_word(
    folders, toy_set, tmp_path, page_style, capsys
):
    other = tmp_path / "other"
    shutil.copytree(folders[0], other)
    tokenizer = load(other).tokenizer
    tokenizer.chat_template = None
    (other / "chat_template.jinja").unlink()
    tokenizer.bos_token = "<|endoftext|>"
    tokenizer.save_pretrained(other)
    ask(folders[0], [other], set="toy", tokens=2, out=tmp_path / "out")
    told = capsys.readouterr().out
    assert "other has no chat template" in told and "a change may be due to that" in told
    assert "starts with <|endoftext|> instead of <|im_start|>" in told
    assert len(json.loads((tmp_path / "out" / "run.json").read_text())["notes"]) == 2


def test_reading_what_ask_takes_imports_nothing_slow():
    code = "import sys, tools.ask; sys.exit(bool({'torch', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_a_containers_quota_is_kept_to(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "bound_cores", lambda: 64)
    monkeypatch.setattr(machine, "_quotas", lambda cgroup: [2.0])
    with pytest.raises(StudyError):
        ask(tmp_path / "nowhere")
    assert os.environ.pop("OMP_NUM_THREADS") == "2"
