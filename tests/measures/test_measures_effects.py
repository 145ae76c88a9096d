"""The registry and its report: every axis keeps the contract, and is kept by what decides it."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.measures import effects, measured
from lib.measures.axis import SHARED, Axis, item_frame
from lib.measures.effects import AXES, effect_rows, metric_table
from lib.models.chat import Prompt
from lib.models.generation import generate
from lib.statistics.estimate import COLUMNS, Estimate, Measure, measure_table
from lib.statistics.shares import rate
from lib.study.keys import Code
from lib.study.notebook import Study

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
    return {name: axis.measured(model, axis.items(profile), 1) for name, axis in AXES.items()}


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
    measured._model.cache_clear()
    yield few
    measured._model.cache_clear()


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
        again = axis.measured(model, axis.items(profile), 1)
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
    found = effect_rows(study, {"base": {1: base}})
    direct = metric_table({name: axis.measured(model, axis.items(study.profile), 1)
                           for name, axis in few_axes.items()})
    assert found["metric"].tolist() == direct["metric"].tolist()
    assert found["metric"].iloc[-1] == "short_answers" and found["n"].iloc[-1] == 2
    assert found["value"].to_numpy() == pytest.approx(direct["value"].to_numpy(), rel=1e-12)


def test_rows_come_from_the_store_without_the_model(monkeypatch, study, base, few_axes):
    first = effect_rows(study, {"base": {1: base}})
    measured._model.cache_clear()
    monkeypatch.setattr(measured, "load", lambda _: pytest.fail("loaded again"))
    pd.testing.assert_frame_equal(effect_rows(study, {"base": {1: base}}), first)
    assert {folder.parent.name for folder, _ in study.store.used} == {"items"}


def test_stored_item_frames_carry_the_training_seed(study, base, few_axes):
    effect_rows(study, {"base": {5: base}})
    frames = [pd.read_parquet(folder / "frame.parquet") for folder, _ in study.store.used]
    assert [set(f["seed"]) for f in frames] == [{5}] * len(few_axes)
    assert len({f["model"].iloc[0] for f in frames}) == 1


def test_an_axis_is_measured_anew_for_its_own_code_and_items_only(monkeypatch, study, base):
    """Every stored frame hangs on the module of its axis, and on the items of the profile."""
    keyed = {}

    def spy(name, inputs, make, run):
        keyed[name] = (Code(make).modules, inputs["arguments"])

        return pd.DataFrame({"start": ["<s>"], "format": ["transcript"]})

    study.store.frame = spy
    monkeypatch.setattr(effects, "metric_table", lambda frames: frames)
    effects._tables(study, [(base, 1)])
    before = dict(keyed)
    generic = {"lib.measures.measured", "lib.measures.axis"}
    assert {name: code - generic for name, (code, _) in before.items()} == {
        name: {axis.score.__module__} for name, axis in AXES.items()}
    more = {"evaluation": study.profile.evaluation.model_copy(update={"items": 40})}
    study.profile = study.profile.model_copy(update=more)
    effects._tables(study, [(base, 1)])
    changed = {name for name in keyed if keyed[name][1] != before[name][1]}
    assert changed == {"toxicity", "utility"}


WAY = ("<s>", "chat template")


@pytest.mark.parametrize("other", [("<bos>", "chat template"), ("<s>", "transcript")])
def test_arms_that_are_asked_in_other_ways_are_named_once(other):
    asked = [("base", WAY), ("lora", WAY), ("full", other), ("full", other)]
    told = f"base starts.*<s>.*full starts.*{other[0]}.*{other[1]}"
    with pytest.warns(UserWarning, match=told) as warned:
        effects._warn_of_other_ways(asked)
    assert len(warned) == 1


def test_arms_that_are_asked_alike_pass_without_a_word(recwarn):
    effects._warn_of_other_ways([("base", WAY), ("lora", WAY)])
    assert not recwarn.list


def test_rows_pool_an_arms_seeds(study, monkeypatch):
    one, two = (measure_table([
        Measure.of(Estimate("pronoun_slope", v, 0.05, v - 0.1, v + 0.1, 50, 40, "ols", 39.0),
                   "plain")]) for v in (0.9, 1.1))
    monkeypatch.setattr(effects, "_tables", lambda _, models: [
        ({"first": one, "second": two, "base": one}[folder], WAY) for folder, _ in models])
    found = effect_rows(study, {"base": {1: "base"}, "lora": {1: "first", 2: "second"}})
    assert found["arm"].tolist() == ["base", "lora"] and found["seeds"].tolist() == [1, 2]
    assert found.loc[0, "value"] == 0.9
    # Rubin by hand: items' variance, and once and a half that between the seeds.
    assert found.loc[1, "value"] == pytest.approx(1.0)
    total = np.sqrt(0.05**2 + 1.5 * 0.02)
    assert 1.96 * total < found.loc[1, "high"] - 1.0 < stats.t.ppf(0.975, 1) * total + 1e-9
