"""Side effects: every axis of a model, each frame kept by what decides it, seeds pooled."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.measures import effects as report
from lib.measures import effects as side_effects
from lib.measures.axis import Axis, item_frame
from lib.statistics.estimate import Estimate, Measure, measure_table
from lib.study.notebook import Study
from lib.study.store import code_modules


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    return Study("smoke", 1, {}, notebook="02")


@pytest.fixture
def few_axes(monkeypatch):
    """Two axes of the registry, for speed, and one more."""
    class Toy(Axis):
        """Counts the tokens that a model knows."""

        name = "toy"

        def items(self, profile):
            return pd.DataFrame({"text": ["a", "b"]})

        def score(self, model, items):
            known = float(len(model.tokenizer))
            return item_frame("toy", "t", list(items["text"]), list(items["text"]), known=known)

        def summarise(self, frame):
            value = frame["known"].mean()
            return [Measure.of(Estimate("tokens", value, 0.0, value, value, 2, 2, ""), "all")]

    few = {name: side_effects.AXES[name] for name in ("gender", "utility")} | {"toy": Toy()}
    for module in (side_effects, report):
        monkeypatch.setattr(module, "AXES", few)


def test_effects_hold_every_axis_a_new_one_included(study, base, model, few_axes):
    found = side_effects.effects(study, base)
    assert found["metric"].tolist() == [*report.side_effects(model, study.profile, 1)["metric"]]
    assert found.set_index("metric").loc["tokens", "value"] == len(model.tokenizer)


def test_effects_are_read_from_the_store_without_the_model(
    monkeypatch, study, base, model, few_axes
):
    first = side_effects.effects(study, base)
    pd.testing.assert_frame_equal(first, report.side_effects(model, study.profile, study.seed))
    side_effects._model.cache_clear()
    monkeypatch.setattr(side_effects, "load", lambda _: pytest.fail("loaded again"))
    pd.testing.assert_frame_equal(side_effects.effects(study, base), first)
    assert {folder.parent.name for folder, _ in study.store.used} == {"items"}


def test_stored_item_frames_carry_the_training_seed(study, base, few_axes):
    side_effects.effects(study, base, seed=5)
    frames = [pd.read_parquet(folder / "frame.parquet") for folder, _ in study.store.used]
    assert [set(f["seed"]) for f in frames] == [{5}] * len(side_effects.AXES)
    assert len({f["model"].iloc[0] for f in frames}) == 1


def test_an_axis_is_measured_anew_for_its_own_code_and_items_only(
    monkeypatch, study, base
):
    """Every stored frame hangs on the module of its axis, and on the items of the profile."""
    keyed = {}

    def spy(name, inputs, make):
        keyed[name] = (code_modules(make, ())[0], inputs["items"])

    study.store.frame = spy
    monkeypatch.setattr(side_effects, "metric_table", lambda frames: frames)
    side_effects.effects(study, base)
    before = dict(keyed)
    assert {name: code for name, (code, _) in before.items()} == {
        name: [type(axis).__module__] for name, axis in side_effects.AXES.items()}
    more = {"evaluation": study.profile.evaluation.model_copy(update={"items": 40})}
    study.profile = study.profile.model_copy(update=more)
    side_effects.effects(study, base)
    changed = {name for name in keyed if keyed[name][1] != before[name][1]}
    assert changed == {"toxicity", "utility"}


def test_rows_pool_an_arms_seeds(study, monkeypatch):
    one, two = (measure_table([
        Measure.of(Estimate("pronoun_slope", v, 0.05, v - 0.1, v + 0.1, 50, 40, "ols", 39.0),
                   "plain")]) for v in (0.9, 1.1))
    monkeypatch.setattr(side_effects, "_tables", lambda _, models: [
        {"first": one, "second": two, "base": one}[folder] for folder, _ in models])
    found = side_effects.effect_rows(
        study, {"base": {1: "base"}, "lora": {1: "first", 2: "second"}})
    assert found["arm"].tolist() == ["base", "lora"] and found["seeds"].tolist() == [1, 2]
    assert found.loc[0, "value"] == 0.9
    # Rubin by hand: items' variance, and once and a half that between the seeds.
    assert found.loc[1, "value"] == pytest.approx(1.0)
    total = np.sqrt(0.05**2 + 1.5 * 0.02)
    assert 1.96 * total < found.loc[1, "high"] - 1.0 < stats.t.ppf(0.975, 1) * total + 1e-9
