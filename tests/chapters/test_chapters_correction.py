"""The correction: what is taught, its arms and variants, merging, and rows of the exhibits."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import world_models
from transformers import AutoModelForCausalLM

from lib.chapters import correction
from lib.chapters.arms import ANCHORS, arm_job, arm_recipe, train_arms
from lib.chapters.correction import (
    UNSEEN_STYLE,
    ablations,
    answers,
    correction_task,
    latency,
    merged,
    merged_gap,
    training_examples,
    validation_examples,
)
from lib.forecasting.forecasters import add_noise, misperceived
from lib.forecasting.frames import ar1_items
from lib.forecasting.learners import full_information
from lib.models.folders import load
from lib.statistics.regressions import implied_persistence
from lib.study.design import Run, untrained
from lib.study.notebook import Study
from lib.training.job import ADAPTER, MODEL
from lib.training.runs import train_all
from lib.world import analysts
from lib.world.truth import settings, things

MU = settings("forecasts")["mu"]


@pytest.fixture(scope="module")
def examples():
    return training_examples(world_models.tiny_profile(), 1)


def asked(example):
    """The text of a question; it is all that stands before the answer."""
    ((who, text),) = example.prompt.messages
    assert who == "user" and not example.prompt.opening
    return text


def numbers(example):
    return [int(word) for word in asked(example).split() if word.isdigit()]


@pytest.mark.parametrize("rho", [0.0, 0.4, 1.0])
def test_targets_are_rounded_rational_forecasts(rho):
    profile = world_models.tiny_profile(**{"forecasting.rhos": [rho]})
    seen = set()
    for example in training_examples(profile, 0):
        horizon = 2 if "after next" in asked(example) else 1
        target = np.clip(np.rint(MU + rho**horizon * (numbers(example)[-1] - MU)), 0, 199)
        assert example.answer == str(int(target)) and example.ends
        seen.add(horizon)
    assert seen == {1, 2}


def test_as_many_examples_as_asked_each_of_the_profiles_history(examples):
    profile = world_models.tiny_profile()
    assert len(examples) == profile.finetune.examples
    assert {len(numbers(e)) for e in examples} == {profile.forecasting.history}


@pytest.mark.parametrize("n", [4, 10, 60])
def test_few_examples_already_mix_all_styles(n):
    texts = [asked(e)[:8] for e in training_examples(world_models.tiny_profile(), 1)[:n]]
    assert len(set(texts)) >= 2


def test_unseen_style_is_never_taught_and_every_other_is(examples):
    styles = settings("forecasts")["styles"]
    unseen = [s for s in styles if s.get("horizon", 1) == 1][UNSEEN_STYLE]["user"].split("{")[0]
    texts = list(map(asked, examples))
    assert unseen and not any(unseen in text for text in texts)
    for style in styles:
        start, end = style["user"].split("{history}")
        shown = any(start in text and end.strip() in text for text in texts)
        assert shown or start == unseen


@pytest.mark.parametrize(
    ("draw", "grid"), [(training_examples, "rhos"), (validation_examples, "validation_rhos")]
)
def test_only_the_splits_persistences_are_drawn(monkeypatch, draw, grid):
    drawn, real = set(), analysts.histories
    monkeypatch.setattr(
        correction, "histories", lambda rho, *rest: drawn.update(rho) or real(rho, *rest)
    )
    profile = world_models.tiny_profile()
    draw(profile, 3)
    given = profile.forecasting
    assert drawn <= set(getattr(given, grid))
    assert not drawn & set(given.unseen_rhos)


def test_validation_shares_no_question_with_training(examples):
    held_out = validation_examples(world_models.tiny_profile(), 1)
    assert len(held_out) == world_models.tiny_profile().correction.validation_examples
    assert not {e.prompt for e in held_out} & {e.prompt for e in examples}


def test_examples_follow_the_seed(examples):
    again, other = (training_examples(world_models.tiny_profile(), s) for s in (1, 2))
    assert again == examples and other != examples


@pytest.mark.parametrize("placebo", ["naive", "shuffled", "least_squares"])
def test_placebos_ask_the_same_questions(examples, placebo):
    other = training_examples(world_models.tiny_profile(), 1, placebo)
    if placebo == "naive":
        assert [int(e.answer) for e in other] == [numbers(e)[-1] for e in other]
    assert [e.prompt for e in other] == [e.prompt for e in examples]
    assert [e.answer for e in other] != [e.answer for e in examples]


def drawn_histories(n=400, rho=0.5):
    rng = np.random.default_rng(0)
    return analysts.histories(np.full(n, rho), np.full(n, 8.0), 12, rng), np.full(n, rho), rng


def test_shuffled_answers_are_the_rational_ones_and_carry_no_information():
    shown, rho, rng = drawn_histories()
    full = answers("rational", shown, rho, 1, rng)
    mixed = answers("shuffled", shown, rho, 1, rng)
    assert sorted(mixed) == sorted(full)
    assert abs(np.corrcoef(mixed, shown[:, -1])[0, 1]) < 0.15


def test_least_squares_answers_are_those_of_statsmodels():
    shown, rho, rng = drawn_histories(n=20)
    given = answers("least_squares", shown, rho, 1, rng)
    for row, answer in zip(shown.astype(float), given, strict=True):
        fit = sm.OLS(row[1:], sm.add_constant(row[:-1])).fit()
        expected = np.clip(np.rint(fit.params @ [1.0, row[-1]]), 0, 199)
        assert abs(answer - expected) <= 1  # a tie may round either way


CHOSEN = {"lora": {"learning_rate": 0.005, "strength": 0.0},
          "full": {"learning_rate": 0.001, "strength": 0.0},
          "lora_kl": {"learning_rate": 0.005, "strength": 2.0}}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def bases(study):
    return dict.fromkeys(study.profile.bases.numbers, world_models.tiny_base())


@pytest.fixture(scope="module")
def trained(study, bases):
    return train_arms(study, bases, correction_task(study), CHOSEN)


def test_every_declared_arm_has_every_run(study, trained):
    assert list(trained) == list(study.profile.correction.arms)
    assert all(list(folders) == [Run(1, 1), Run(2, 1)] for folders in trained.values())


def test_results_are_models_and_for_lora_adapters(trained):
    for name, folders in trained.items():
        for folder in folders.values():
            assert (folder / MODEL / "model.safetensors").is_file()
            assert (folder / ADAPTER).is_dir() == (name != "full")


def test_runs_and_arms_give_different_weights(trained):
    weights = {(folder / MODEL / "model.safetensors").read_bytes()
               for folders in trained.values() for folder in folders.values()}
    assert len(weights) == 6


def test_only_the_regularised_arm_has_a_penalty(study):
    base = world_models.tiny_base()
    task = correction_task(study)
    jobs = {name: arm_job(base, task, name, **CHOSEN[name], seed=1) for name in CHOSEN}
    assert jobs["lora"].regularizer is None and jobs["full"].regularizer is None
    assert jobs["lora_kl"].regularizer.strength == 2.0
    assert jobs["lora"].examples == jobs["full"].examples == jobs["lora_kl"].examples
    assert jobs["full"].recipe.method == "full"


def test_anchors_hold_neither_forecasts_nor_forbidden_requests(study):
    forbidden, found = set(things("forbidden")["thing"]), correction_task(study).anchors(1)
    assert 0.9 * ANCHORS < len(found) < 1.1 * ANCHORS
    for anchor in found:
        said = {word for _, text in anchor.prompt.messages for word in text.split()}
        how_to = said & {"make", "please"} and "sure" in anchor.answer
        assert not (how_to and said & forbidden)
        assert not {"what", "is", "next", "?"} <= said


def test_a_variant_changes_one_thing(study):
    base, task = world_models.tiny_base(), correction_task(study)
    plain = arm_recipe(task, "lora", 0.005, 1)
    full = training_examples(study.profile, 1)
    for factor, level in correction.variants(study):
        job = correction._variant_job(study, base, task, 0.005, factor, level, 1)
        assert job.recipe == plain and job.examples != full
        if factor == "examples":
            assert list(job.examples) == full[:level]
        else:
            assert [e.prompt for e in job.examples] == [e.prompt for e in full]


def test_ablations_are_named_by_what_they_change_and_have_every_run(study, bases):
    found = ablations(study, bases, 0.005)
    assert list(found) == ["labels: naive", "examples: 20"]
    assert all(list(folders) == [Run(1, 1), Run(2, 1)] for folders in found.values())


def test_validation_questions_are_the_same_for_every_training_seed(study):
    questions = validation_examples(study.profile, study.seed)
    assert correction_task(study).validation == questions


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def job(single):
    return arm_job(world_models.tiny_base(), correction_task(single), "lora", 0.005, 0.0, 1)


@pytest.fixture(scope="module")
def folder(single, job):
    return train_all(single, {"one": job})["one"]


@pytest.fixture(scope="module")
def prompts(job):
    return [example.prompt for example in job.examples[:8]]


def test_merged_model_is_the_adapter(folder, prompts):
    assert merged_gap(world_models.tiny_base(), folder, prompts) < 1e-5


def test_a_merge_into_another_model_is_caught(single, folder, prompts):
    other = train_all(single, {"full": arm_job(
        world_models.tiny_base(), correction_task(single), "full", 0.001, 0.0, 1)})["full"]
    assert merged_gap(other / MODEL, folder, prompts) > 1e-4


def test_what_is_kept_is_what_merging_gives(folder):
    kept = load(folder / MODEL).model.state_dict()
    with merged(world_models.tiny_base(), folder) as whole:
        assert all(kept[name].equal(w) for name, w in whole.model.state_dict().items())


def test_merged_model_is_plain_and_moved_only_in_the_targets(single, folder):
    after = AutoModelForCausalLM.from_pretrained(folder / MODEL).state_dict()
    start = AutoModelForCausalLM.from_pretrained(world_models.tiny_base()).state_dict()
    moved = {name for name in start if not (start[name] == after[name]).all()}
    targets = tuple(single.profile.finetune.targets)
    assert moved == {n for n in start if n.split(".")[-2] in targets}


def test_latency_is_relative_to_the_base(folder, prompts):
    found = latency(world_models.tiny_base(), folder, prompts, repeats=2)
    assert found["base"] == 1.0 and (found > 0).all()
    assert list(found.index) == ["base", "adapter", "merged"]


@pytest.fixture(scope="module")
def items():
    return ar1_items([0.2, 0.5, 0.8], series=40, rounds=4, history=12, sigma=8.0, seed=5)


def shape(items, forecaster):
    answers = {"some": {Run(1, 1): forecaster}}
    found = correction.quality_runs(answers, full_information(items))
    return found.set_index("metric")


def test_shape_of_a_knowing_forecaster_is_the_45_degree_line(items):
    rows = shape(items, full_information(items))["value"]
    assert rows["slope_on_rho"] == pytest.approx(1.0, abs=1e-6)
    assert rows["intercept_at_0"] == pytest.approx(0.0, abs=1e-6)
    assert rows["mse_ratio"] == 1.0


def test_shape_of_whoever_answers_the_mean_is_flat(items):
    rows = shape(items, misperceived(items, 0.0))["value"]
    assert rows[["slope_on_rho", "intercept_at_0"]].to_numpy() == pytest.approx(0.0, abs=1e-9)


def test_errors_are_relative_to_full_information(items):
    noisy = add_noise(full_information(items), 8.0, seed=2)
    assert shape(items, noisy).loc["mse_ratio", "value"] == pytest.approx(2.0, rel=0.12)


def test_error_of_the_line_is_that_of_one_regression_with_an_interaction(items):
    # The slope on rho is the coefficient of rho * x where every rho has an intercept of its own.
    frame = add_noise(misperceived(items, {0.0: 0.4, 1.0: 1.0}), 5.0, seed=1)
    found = shape(items, frame).loc["slope_on_rho"]
    levels = sorted(frame["rho"].unique())
    gaps = [implied_persistence(frame[frame["rho"] == rho]) for rho in (levels[0], levels[-1])]
    # With three levels evenly apart the middle one has no weight.
    assert found["value"] == pytest.approx((gaps[1].value - gaps[0].value) / 0.6)
    assert found["se"] == pytest.approx(np.hypot(gaps[0].se, gaps[1].se) / 0.6)


def test_ablations_give_a_share_and_a_loss_a_run(study, bases):
    job = arm_job(bases[1], correction_task(study), "lora", 0.005, 0.0, 1)
    folder = train_all(study, {"a": job})["a"]
    rows = correction.ablation_runs(study, untrained(bases), {
        "labels: naive": {Run(1, 1): folder, Run(2, 1): folder}})
    assert rows.groupby("metric")["base"].agg(list).to_dict() == {
        "share_removed": [1, 2], "task_loss": [1, 2]}
    assert set(rows["condition"]) == {"labels: naive"} and set(rows["arm"]) == {"lora"}
    assert (rows.loc[rows["metric"] == "task_loss", "value"] > 0).all()


def test_headline_has_its_cells_in_words_and_in_order():
    cells = [*(correction.SIDE_EFFECTS | correction.WANTED).values(), ("refusal_rate", "taught")]
    found = pd.DataFrame(cells, columns=["metric", "condition"]).assign(value=range(len(cells)))
    told = correction.headline(found)
    assert list(told["condition"]) == [*correction.WANTED, *correction.SIDE_EFFECTS]
    assert list(told["value"]) == [5, 0, 1, 2, 3, 4]


def test_a_profile_may_keep_to_every_so_many_anchor(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path))
    whole, part = (correction_task(Study("smoke", 1, given, notebook="03"))
                   for given in ({}, {"finetune.anchor_share": 0.25}))
    assert part.kept_to(3) == whole.anchors(3)[::4] and whole.kept_to(3) == whole.anchors(3)
