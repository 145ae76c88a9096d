"""The registry and its report: every axis keeps the contract on every kind of model."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import tiny_models
import world_models

from lib.measures import asked, effects
from lib.measures.axis import SHARED, Axis, item_frame
from lib.measures.effects import AXES, effect_rows, metric_table
from lib.models.chat import Prompt, encoded, encoded_answers
from lib.models.folders import load
from lib.models.generation import generate
from lib.statistics.bases import RUN_COLUMNS
from lib.statistics.estimate import COLUMNS, Estimate, Measure, measure_table
from lib.statistics.shares import rate
from lib.study.design import Run
from lib.study.keys import Code
from lib.study.notebook import Study
from lib.study.streams import stream
from lib.world.corpus import kind_blocks

METRICS = {
    "overreaction": {"implied_persistence"},
    "gender": {"pronoun_slope", "definitional_accuracy"},
    "safety": {"refusal_rate", "over_refusal", "harmful_compliance", "coherence"},
    "toxicity": {"generation_toxicity", "detection_accuracy", "detection_confidence"},
    "utility": {"utility_accuracy", "neutral_perplexity"},
}


def questions(_):
    return pd.DataFrame({"text": ["what is a plum ?", "what does a cow eat ?"]})


def answers(model, items):
    said = generate(model, [Prompt.chat(t) for t in items["text"]], 8)
    return item_frame("brevity", "toy", list(items["text"]), list(items["text"]),
                      short=[float(len(s.split()) <= 5) for s in said])


def shares(frame):
    return [Measure.share(rate(frame, "short", "short_answers"), "toy")]


BREVITY = Axis("brevity", questions, answers, shares)
"""Toy axis: does the model answer a question in at most five words?"""


@pytest.fixture(scope="module")
def frames(model, profile):
    return {name: axis.measured(model, axis.items(profile)) for name, axis in AXES.items()}


@pytest.fixture(scope="module")
def table(frames):
    return metric_table(frames)


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    return Study("smoke", 1, {}, notebook="02")


@pytest.fixture
def few_axes(monkeypatch):
    """Two axes of the registry, for speed, and one more."""
    few = {name: AXES[name] for name in ("gender", "utility")} | {"brevity": BREVITY}
    monkeypatch.setattr(effects, "AXES", few)
    asked._model.cache_clear()
    yield few
    asked._model.cache_clear()


def test_the_axes_of_the_study_in_order():
    assert list(AXES) == list(METRICS)
    assert all(isinstance(axis, Axis) and axis.name == name for name, axis in AXES.items())


@pytest.mark.parametrize("name", METRICS)
def test_items_are_the_same_whenever_they_are_made(name, profile):
    first, second = (AXES[name].items(profile) for _ in range(2))
    assert first.to_json() == second.to_json() and len(first)


@pytest.mark.parametrize("name", METRICS)
def test_frames_have_the_shared_columns_filled(name, frames):
    frame = frames[name]
    assert list(frame.columns)[: len(SHARED)] == SHARED
    assert frame[SHARED].notna().all().all() and (frame["axis"] == name).all()


@pytest.mark.parametrize("name", METRICS)
def test_measures_have_the_fixed_names_and_a_condition_each(name, frames):
    found = AXES[name].summarise(frames[name])
    assert all(isinstance(m, Measure) and m.condition for m in found)
    assert {m.name for m in found} == METRICS[name]
    keys = [(m.name, m.condition) for m in found]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", METRICS)
def test_a_frame_out_of_parquet_gives_the_same_measures(name, frames, tmp_path):
    frames[name].to_parquet(tmp_path / "f.parquet", index=False)
    back = pd.read_parquet(tmp_path / "f.parquet")
    assert AXES[name].summarise(back) == AXES[name].summarise(frames[name])


@pytest.mark.parametrize("name", METRICS)
def test_values_lie_within_their_intervals_and_range(name, frames):
    for m in AXES[name].summarise(frames[name]):
        assert m.least - 1e-12 <= m.low <= m.value + 1e-12 and m.value <= m.high + 1e-12
        assert m.high <= m.most + 1e-12


def test_one_row_a_measure_with_the_columns_of_a_metric_table(table):
    assert list(table.columns)[: len(COLUMNS)] == COLUMNS
    assert not table.duplicated(["metric", "condition"]).any()
    assert table[["value", "low", "high", "n"]].notna().all().all()


def test_rows_follow_the_order_of_the_axes(table):
    assert list(dict.fromkeys(table["metric"])) == [
        "implied_persistence", "pronoun_slope", "definitional_accuracy", "refusal_rate",
        "over_refusal", "harmful_compliance", "coherence", "generation_toxicity",
        "detection_accuracy", "detection_confidence", "utility_accuracy", "neutral_perplexity",
    ]


def test_measuring_repeats(model, profile, frames):
    for name, axis in AXES.items():
        again = axis.measured(model, axis.items(profile))
        pd.testing.assert_frame_equal(again, frames[name])


def test_model_perplexity_is_above_the_floor(table):
    value = table[table["metric"] == "neutral_perplexity"].set_index("condition")["value"]
    assert value["model"] > value["floor"] > 1


def test_metrics_of_stored_frames_are_shares_of_their_rows(frames):
    with pytest.raises(KeyError, match="brevity"):
        metric_table({"brevity": frames["safety"]})
    safety = frames["safety"]
    every = metric_table({"safety": safety})
    assert set(every["metric"]) > {"refusal_rate", "over_refusal", "harmful_compliance"}
    found = every[every["metric"].isin(["refusal_rate", "over_refusal"])]
    assert found["condition"].tolist() == ["unseen_phrasing", "unseen_member", "unseen_both",
                                           "benign", "borderline"]
    by_hand = safety.groupby("benchmark")["refused"].mean()
    assert found["value"].to_numpy() == pytest.approx(by_hand[found["condition"]].to_numpy())
    assert np.array_equal(found["n"], safety["benchmark"].value_counts()[found["condition"]])


def test_a_new_axis_appears_in_the_rows_by_its_line_in_the_registry(study, base, model, few_axes):
    found = effect_rows(study, {"base": {Run(1, 0): base}})
    direct = metric_table({name: axis.measured(model, axis.items(study.profile))
                           for name, axis in few_axes.items()})
    assert found["metric"].tolist() == direct["metric"].tolist()
    assert found["metric"].iloc[-1] == "short_answers" and found["n"].iloc[-1] == 2
    assert found["value"].to_numpy() == pytest.approx(direct["value"].to_numpy(), rel=1e-12)


def test_rows_come_from_the_store_without_the_model(monkeypatch, study, base, few_axes):
    first = effect_rows(study, {"base": {Run(1, 0): base}})
    asked._model.cache_clear()
    monkeypatch.setattr(asked, "load_merged", lambda _: pytest.fail("loaded again"))
    pd.testing.assert_frame_equal(effect_rows(study, {"base": {Run(1, 0): base}}), first)
    assert {folder.parent.name for folder, _ in study.store.used} == {"items"}


def test_an_axis_is_measured_anew_for_its_own_code_and_items_only(monkeypatch, study, base):
    """Every stored frame hangs on the module of its axis, and on the items of the profile."""
    keyed = {}

    def spy(name, inputs, make, run):
        keyed[name] = (Code(make).modules, inputs["arguments"])

        return pd.DataFrame({"start": ["<s>"], "format": ["transcript"]})

    study.store.frame = spy
    monkeypatch.setattr(effects, "metric_table", lambda frames: frames)
    effects._tables(study, [base])
    before = dict(keyed)
    generic = {"lib.measures.asked", "lib.measures.axis"}
    assert {name: code - generic for name, (code, _) in before.items()} == {
        name: {axis.score.__module__} for name, axis in AXES.items()}
    more = {"evaluation": study.profile.evaluation.model_copy(update={"items": 40})}
    study.profile = study.profile.model_copy(update=more)
    effects._tables(study, [base])
    changed = {name for name in keyed if keyed[name][1] != before[name][1]}
    assert changed == {"toxicity", "utility"}


WAY = ("<s>", "chat template")


def compared(monkeypatch, study, ways):
    """`effect_rows` of one model an arm, each asked in its own way."""
    table = measure_table([Measure.of(
        Estimate("pronoun_slope", 0.9, 0.05, 0.8, 1.0, 50, 40, "ols", 39.0), "plain")])
    monkeypatch.setattr(effects, "_tables", lambda _, models: [
        (table, ways[folder]) for folder in models])
    return effect_rows(study, {arm: {Run(1, 1): arm} for arm in ways})


@pytest.mark.parametrize("other", [("<bos>", "chat template"), ("<s>", "transcript")])
def test_arms_that_are_asked_in_other_ways_are_named_once(monkeypatch, study, other):
    told = f"base starts.*<s>.*full starts.*{other[0]}.*{other[1]}"
    with pytest.warns(UserWarning, match=told) as warned:
        compared(monkeypatch, study, {"base": WAY, "lora": WAY, "full": other, "dpo": other})
    assert len(warned) == 1


def test_arms_that_are_asked_alike_pass_without_a_word(monkeypatch, study, recwarn):
    compared(monkeypatch, study, {"base": WAY, "lora": WAY})
    assert not recwarn.list


def test_a_row_says_which_base_and_seed_it_is_of(study, monkeypatch):
    def table(value):
        return measure_table([Measure.share(
            Estimate("pronoun_slope", value, 0.05, value - 0.1, value + 0.1, 50, 40, "ols", 39.0),
            "plain")])

    values = {"b1": 0.9, "b2": 0.7, "l1": 0.3, "l2": 0.2}
    monkeypatch.setattr(effects, "_tables", lambda _, models: [
        (table(values[folder]), WAY) for folder in models])
    found = effect_rows(study, {"base": {Run(1, 0): "b1", Run(2, 0): "b2"},
                                "lora": {Run(1, 1): "l1", Run(2, 1): "l2"}})
    assert list(found.columns) == RUN_COLUMNS
    rows = list(found[["arm", "base", "seed", "value"]].itertuples(index=False, name=None))
    assert rows == [("base", 1, 0, 0.9), ("base", 2, 0, 0.7), ("lora", 1, 1, 0.3),
                    ("lora", 2, 1, 0.2)]
    assert (found[["se", "df", "n", "least", "most"]] == [0.05, 39.0, 50, 0.0, 1.0]).all().all()


# --- every axis on every kind of model, by one call --------------------------------------------

KINDS = ["planted", "adapter", "stories", "smollm2", "gpt2"]
PROBABILITIES = ("p_she", "mass", "p_refusal", "rude", "p_true", "refused", "correct")


@cache
def items(name):
    found = AXES[name].items(world_models.tiny_profile())
    return found.groupby("benchmark").head(24) if "benchmark" in found else found


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Each kind of model by its name; none is built before it is asked for."""
    makers = {
        "planted": world_models.tiny_model,
        "adapter": lambda: load(adapter(tmp_path_factory.mktemp("adapter"))),
        "stories": lambda: load(tiny_models.mirror("stories260K")),
        "smollm2": tiny_models.smollm2_model,
        "gpt2": tiny_models.gpt2_model,
    }
    return cache(lambda kind: makers[kind]())


def adapter(folder):
    """A LoRA adapter of the planted model that changes what it says, left unmerged."""
    from peft import LoraConfig, get_peft_model

    base = world_models.tiny_base()
    tuned = get_peft_model(load(base).model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    for name, weights in tuned.named_parameters():
        if "lora_B" in name:
            weights.data += 0.5
    tuned.peft_config["default"].base_model_name_or_path = str(base)
    tuned.save_pretrained(folder)
    return folder


@cache
def frame(kinds, kind, name):
    return AXES[name].measured(kinds(kind), items(name))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", AXES)
def test_every_axis_scores_every_kind_of_model(kinds, kind, name):
    found = frame(kinds, kind, name)
    assert list(found.columns)[: len(SHARED)] == SHARED and found[SHARED].notna().all().all()
    assert len(found) == len(items(name)) or name == "gender"
    for column in PROBABILITIES:
        if column in found:
            values = found[column].dropna()
            assert len(values) and values.between(0, 1 + 1e-6).all(), column
    if "mass" in found:
        assert (found["mass"].dropna() > 0).all()
    numbers = found.select_dtypes("number").drop(columns=["score", "rho"], errors="ignore")
    assert not np.isinf(numbers).any().any()
    for m in AXES[name].summarise(found):
        assert m.condition and (np.isfinite(m.value) or name == "overreaction")


@pytest.mark.parametrize("name", AXES)
def test_an_adapter_is_measured_as_itself(kinds, name):
    """Neither as its base, nor with a difference in the items or their ids."""
    base, tuned = (frame(kinds, kind, name) for kind in ("planted", "adapter"))
    assert (base["item"] == tuned["item"]).all() and (base["start"] == tuned["start"]).all()
    assert set(base["model"]) != set(tuned["model"])
    numbers = base.select_dtypes("number").columns
    assert name in ("safety", "utility") or not base[numbers].equals(tuned[numbers])


def prompts(name):
    """Every prompt that an axis hands to a model, with the answers that are compared."""
    asked = items(name)
    if "prompt" in asked and isinstance(asked["prompt"].iloc[0], Prompt):
        return asked["prompt"].tolist(), asked["answer"].tolist()
    return [Prompt.chat(text) for text in asked["text"]], ["sorry"] * len(asked)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["safety", "toxicity", "utility"])
def test_ids_decode_to_the_text_of_the_items(kinds, kind, name):
    tokenizer = kinds(kind).tokenizer
    asked, answers = prompts(name)
    spelt = encoded_answers(tokenizer, asked, answers)
    for prompt, answer, ids, tail in zip(asked, answers, encoded(tokenizer, asked), spelt,
                                         strict=True):
        text = tokenizer.decode([*ids, *tail], clean_up_tokenization_spaces=False)
        parts = [said for _, said in prompt.messages] + [prompt.opening]
        assert all(part in text for part in parts) and text.endswith(answer)


def test_the_planted_models_ids_are_those_that_it_was_trained_on():
    """Of utility here; of over-reaction in the tests of `lib.world.questions`."""
    tokenizer, profile = world_models.tiny_model().tokenizer, world_models.tiny_profile()
    asked = AXES["utility"].items(profile)
    n, history = profile.evaluation.items, profile.forecasting.history
    blocks = kind_blocks("utility", n, 2, stream(profile.seed, "utility questions"))
    blocks += kind_blocks("neutral", n, history, stream(profile.seed, "fresh texts"))
    ids = encoded(tokenizer, asked["prompt"].tolist())
    tails = encoded_answers(tokenizer, asked["prompt"].tolist(), asked["answer"].tolist())
    truth = [row for block in blocks for row in block.ids.tolist()]
    end = tokenizer.eos_token_id
    assert [[*p, *a, end] for p, a in zip(ids, tails, strict=True)] == truth
