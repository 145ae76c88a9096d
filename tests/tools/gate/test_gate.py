"""The gate on tiny models of the planted world: what it decides, and what it refuses at once."""

import json
import os
import re
import shutil
import sys

import pandas as pd
import pytest
import torch
import world_models
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from lib.errors import StudyError
from lib.measures.axis import Axis
from lib.models.folders import load
from lib.statistics.noninferiority import OPEN
from lib.study import paths
from tools.cli import app
from tools.gate.gate import _budget, decided
from tools.gate.measure import Plan, processes, world_of
from tools.gate.subjects import checked, subjects


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder of its own, so that nothing is added to that of the session."""
    return shutil.copytree(world_models.tiny_base(), tmp_path_factory.mktemp("gate") / "base")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    return tmp_path


@pytest.fixture
def tuned(base, tmp_path):
    return shutil.copytree(base, tmp_path / "tuned")


@pytest.fixture
def broken(tuned):
    """Noise over all weights."""
    weights = load_file(tuned / "model.safetensors")
    noise = torch.Generator().manual_seed(0)
    save_file({name: value + 0.05 * torch.randn(value.shape, generator=noise).to(value)
               for name, value in weights.items()}, tuned / "model.safetensors", {"format": "pt"})
    return tuned


def asked(*models, axes=("utility", "gender"), requests=None, budget=None):
    budget, axes = _budget(budget, requests, list(axes))
    return decided(list(map(str, models)), axes=axes, budget=budget, requests=requests, quick=True,
                   dtype="float32", started=0.0)


def test_a_model_passes_against_itself_and_says_why(base, runs):
    result = asked(base, base)
    assert result.verdict == "pass" and (result.lines["value"] == 0).all()
    assert any("nothing was tuned" in note for note in result.notes)
    assert result.world == "sandbox"


def test_a_broken_copy_fails_and_says_how_far_it_moved(base, broken, runs):
    result = asked(base, broken)
    assert result.verdict == "fail"
    failed = result.lines.loc[result.lines["verdict"] == "fail", "line"].tolist()
    assert "neutral_perplexity" in failed
    moved = result.weights.iloc[0]
    assert moved["share_changed"] > 0.9 and 0 < moved["drift"] < 2


def test_a_base_without_its_refusals_fails_on_them_alone(runs):
    """Of the shipped bases the truth is known: one stage of training apart, and nothing else."""
    base = paths.BASES / "base_01"
    lines = asked(base / "aligned", base / "unaligned", axes=["safety", "gender"]).lines
    failed = set(lines.loc[lines["verdict"] == "fail", "line"])
    assert failed == {"refusal_rate", "harmful_compliance"}
    assert lines.set_index("line").loc["refusal_rate", "value"] > 0.9


def test_every_item_is_recorded_in_pairs(base, broken, runs):
    result = asked(base, broken)
    columns = {"metric", "axis", "benchmark", "item", "cluster", "base", "tuned_0"}
    assert columns <= set(result.items)
    counts = result.items.groupby("metric").size()
    assert counts.to_dict() == result.lines.set_index("line")["n"].to_dict()


def test_an_adapter_and_its_rank(base, runs, tmp_path):
    model = get_peft_model(load(base).model, LoraConfig(r=2, target_modules=["q_proj"]))
    model.save_pretrained(tmp_path / "adapter")
    result = asked(base, tmp_path / "adapter")
    assert result.weights.loc[0, "rank"] == 2 and 0 < result.weights.loc[0, "share_trained"] < 0.1
    assert result.weights.loc[0, "share_changed"] == 0  # B is zero
    assert (result.lines["value"].abs() < 1e-6).all()
    assert not any("nothing was tuned" in note for note in result.notes)


def test_what_was_measured_is_not_measured_again(base, broken, runs, monkeypatch):
    first = asked(base, broken)

    def refuse(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(Axis, "measured", refuse)
    again = asked(base, broken)
    assert again.lines.equals(first.lines)


def test_an_axis_that_gives_nothing_is_told_and_leaves_the_rest(base, broken, runs, monkeypatch):
    plain = Axis.measured

    def fails(self, model, items):
        if self.name == "gender":
            raise StudyError("words", "none", "ask others")
        return plain(self, model, items)

    monkeypatch.setattr(Axis, "measured", fails)
    result = asked(base, broken)
    assert list(result.missing) == ["gender"] and set(result.lines["axis"]) == {"utility"}
    passed = asked(base, base)
    assert passed.verdict == "not enough evidence"  # what is missing is not passed


def test_requests_of_ones_own_have_lines(base, runs, tmp_path):
    (tmp_path / "policy.yml").write_text("forbidden: [a, b, c]\nharmless: [d, e]\n")
    source = str(tmp_path / "policy.yml")
    result = asked(base, base, axes=["policy"], requests=source)
    assert result.lines["line"].tolist() == ["policy_refusals", "policy_needless"]


@pytest.mark.parametrize("text", ["forbidden: [a, b, c]", "forbidden:\n  one: [a, b, c]"])
def test_a_policy_may_have_one_kind_and_one_topic(base, tuned, runs, tmp_path, text):
    (tmp_path / "policy.yml").write_text(text)
    edited(tuned, "config.json", lambda v: v.update(rms_norm_eps=1e-4))
    result = asked(base, tuned, axes=["policy"], requests=str(tmp_path / "policy.yml"))
    assert result.lines["line"].tolist() == ["policy_refusals"] and result.verdict == OPEN
    assert any("policy_needless" in note for note in result.notes)


def test_lines_about_a_policy_without_requests_are_no_pass(base, runs, tmp_path):
    own = tmp_path / "budget.yml"
    own.write_text("alpha: 0.05\npower: 0.8\nlines:\n  - {metric: policy_refusals, allowed: 0.1, "
                   "why: a reason in words}\n  - {metric: utility_accuracy, allowed: 0.1, why: a "
                   "reason in words}\n")
    with pytest.raises(StudyError, match="--requests"):
        asked(base, base, axes=(), budget=own)
    part = asked(base, base, axes=["utility"], budget=own)
    assert any("Not asked, so not decided: policy_refusals" in note for note in part.notes)
    with pytest.raises(StudyError, match="requests of your own"):
        asked(base, base, axes=["policy"])


def test_a_quick_look_leaves_forecasts_out_and_says_so(base, broken, runs):
    found = asked(base, broken, axes=("gender", "overreaction"))
    assert "quick look" in found.missing["overreaction"] and set(found.lines["axis"]) == {"gender"}
    assert asked(base, base, axes=("gender", "overreaction")).verdict == "pass"


def test_only_axes_of_the_budget_are_asked(base, runs, tmp_path):
    own = tmp_path / "budget.yml"
    own.write_text("alpha: 0.05\npower: 0.8\nlines:\n  - {metric: utility_accuracy, allowed: 0.1, "
                   "why: a reason in words}\n")
    assert set(asked(base, base, axes=(), budget=own).items["axis"]) == {"utility"}


def with_own_head(folder):
    model = load(folder).model
    model.config.tie_word_embeddings = False
    noise = torch.Generator().manual_seed(1)
    model.lm_head.weight = torch.nn.Parameter(
        0.1 * torch.randn(model.lm_head.weight.shape, generator=noise))
    model.save_pretrained(folder)


def test_two_processes_find_what_one_does(base, broken, runs, monkeypatch):
    alone = asked(base, broken)
    monkeypatch.setenv("STUDY_RUNS", str(runs / "other"))  # nothing is there to be found again
    monkeypatch.setattr("tools.gate.measure.SMALL", 0)
    assert processes(subjects([str(base), str(broken)], "float32")) == 2
    beside = asked(base, broken)
    assert beside.missing == alone.missing == {}
    pd.testing.assert_frame_equal(beside.lines, alone.lines, rtol=1e-4)
    pd.testing.assert_frame_equal(beside.items, alone.items, rtol=1e-4)


def test_models_that_memory_holds_once_are_measured_one_after_the_other(base, tuned, monkeypatch):
    monkeypatch.setattr("tools.gate.measure.SMALL", 0)
    monkeypatch.setattr("tools.gate.measure.free", lambda: 1000)
    assert processes(subjects([str(base), str(tuned)], "float32")) == 1


@pytest.mark.parametrize("change", [
    with_own_head,
    lambda f: edited(f, "config.json", lambda v: v.update(rms_norm_eps=10.0)),
])
def test_what_changed_beside_the_base_s_weights_is_measured(base, tuned, runs, change):
    """A head untied, another setting: no weight of the base moved, and yet it is another model."""
    before = asked(base, base)
    change(tuned)
    found = asked(base, tuned)
    assert not any("nothing was tuned" in note for note in found.notes)
    assert (found.lines["value"].abs() > 1e-4).any() and found.lines["low"].ne(0).any()
    assert before.verdict == "pass"


def test_another_template_or_setting_is_measured_anew(base, broken, runs, tmp_path, monkeypatch):
    asked(base, broken)
    copies = [shutil.copytree(f, tmp_path / f"other {f.name}") for f in (base, broken)]
    for folder in copies:
        template = folder / "chat_template.jinja"
        template.write_text(template.read_text() + " ")
    measured = []
    plain = Axis.measured
    monkeypatch.setattr(Axis, "measured",
                        lambda self, *given: measured.append(self.name) or plain(self, *given))
    asked(*copies)
    assert len(measured) == 4


@pytest.mark.parametrize("seeds", [["tuned", "tuned"], ["tuned", "base"]])
def test_a_model_is_no_second_seed_of_itself(base, broken, runs, seeds):
    given = {"base": base, "tuned": broken}
    with pytest.raises(StudyError, match="different models as seeds"):
        asked(base, *(given[name] for name in seeds))


def test_answers_that_are_no_numbers_are_told(base, broken, runs, monkeypatch):
    plain = Axis.measured

    def spoilt(self, model, items):
        frame = plain(self, model, items)
        return frame.assign(p_she=float("nan")) if self.name == "gender" else frame

    monkeypatch.setattr(Axis, "measured", spoilt)
    result = asked(base, broken)
    assert "NaN" in result.missing["gender"]
    with pytest.raises(StudyError, match="NaN in those"):
        asked(base, broken, axes=["gender"])


def test_real_models_are_asked_in_english():
    import tiny_models

    folder = tiny_models.mirror("stories260K")
    (model, _) = subjects([str(folder), str(folder)], "float32")
    assert world_of(model) == "policy"
    plan = Plan.of("policy", [], quick=True, requests=None)
    assert all(len(items) for items in plan.items.values())
    os.environ["STUDY_WORLD"] = ""


def edited(folder, file, change):
    path = folder / file
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def without_template(folder):
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    edited(folder, "tokenizer_config.json", lambda v: v.pop("chat_template", None))


def other_words(folder):
    def swap(values):
        words = values["model"]["vocab"]
        a, b = list(words)[20:22]
        words[a], words[b] = words[b], words[a]
    edited(folder, "tokenizer.json", swap)


def wider(folder):
    import tiny_models

    loaded = load(folder)
    model = tiny_models.llama(loaded.model.config.vocab_size, hidden_size=64)
    model.save_pretrained(folder)


def lower_case(folder):
    edited(folder, "tokenizer.json", lambda v: v.update(normalizer={"type": "Lowercase"}))


def with_nan(folder):
    weights = load_file(folder / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(("harm", "told"), [
    (without_template, "a chat template in both models"),
    (other_words, "tokens missing or at other places"),
    (with_nan, "NaN or infinity"), (wider, "the weights of base"), (lower_case, "normalizer"),
    (lambda f: edited(f, "tokenizer_config.json", lambda v: v.update(eos_token="<pad>")),
     "the eos_token of"),
    (lambda f: edited(f, "tokenizer_config.json", lambda v: v.update(bos_token="<pad>")),
     "the bos_token of"),
    (lambda f: (f / "model.safetensors").rename(f / "model.bin"), "pickled"),
])
def test_models_that_cannot_be_compared_are_refused_at_once(base, tuned, runs, harm, told):
    harm(tuned)
    with pytest.raises(StudyError, match=re.escape(told)):
        asked(base, tuned)
    assert not (runs / "runs").exists()  # nothing was measured


def test_an_adapter_on_another_base_is_refused(base, broken, runs, tmp_path):
    model = get_peft_model(load(broken).model, LoraConfig(r=2, target_modules=["q_proj"]))
    model.peft_config["default"].base_model_name_or_path = str(broken)
    model.save_pretrained(tmp_path / "adapter")
    with pytest.raises(StudyError, match="which is on"):
        checked(subjects([str(base), str(tmp_path / "adapter")], "float32"))


@pytest.mark.parametrize(("models", "told"), [
    (["nowhere"], "a hub id owner/name"), (["owner/model"], "on the model hub, or in its cache"),
])
def test_a_model_that_is_not_there(base, runs, models, told):
    with pytest.raises(StudyError, match=re.escape(told)):
        asked(base, *models)


def test_more_than_memory_is_refused_before_loading(base, tuned, runs, monkeypatch):
    monkeypatch.setattr("lib.models.memory.free", lambda: 1000)
    with pytest.raises(StudyError, match="GB of free memory"):
        asked(base, tuned)


def test_an_unknown_axis_is_named(base, runs):
    with pytest.raises(StudyError, match="did you mean safety"):
        asked(base, base, axes=["safty"])


def command(*given):
    return CliRunner().invoke(app, ["gate", *map(str, given)])


def test_exit_codes_are_verdicts_and_three_is_an_error(base, broken, runs):
    quick = ["--quick", "--axes", "utility,gender", "--out", runs / "out"]
    assert command(base, base, *quick).exit_code == 0
    found = command(base, broken, *quick)
    assert found.exit_code == 1 and "fail" in found.output
    assert json.loads((runs / "out" / "gate.json").read_text())["verdict"] == "fail"
    assert command(base, "nowhere", *quick).exit_code == 3
    assert command(base).exit_code == 3 and command().exit_code == 3


def test_a_crash_is_no_verdict(base, runs, monkeypatch):
    def crash(*_):
        raise RuntimeError("something of somebody's")

    monkeypatch.setattr("tools.gate.gate.decided", crash)
    assert command(base, base, "--out", runs / "out").exit_code == 3


def test_an_earlier_verdict_does_not_stay(base, broken, runs, monkeypatch):
    out = runs / "out"
    assert command(base, base, "--quick", "--axes", "gender", "--out", out).exit_code == 0
    assert command(base, "nowhere", "--out", out).exit_code == 3
    assert not (out / "gate.json").exists()


def test_a_module_that_is_missing_is_no_verdict(base, monkeypatch):
    monkeypatch.setitem(sys.modules, "tools.gate.gate", None)
    assert command(base, base).exit_code == 3


def test_a_place_that_cannot_be_written_is_refused_first(base, runs, monkeypatch):
    (runs / "file").write_text("")
    monkeypatch.setattr("tools.gate.gate.decided", lambda *_: pytest.fail("measured first"))
    found = command(base, base, "--out", runs / "file" / "out")
    assert found.exit_code == 3
