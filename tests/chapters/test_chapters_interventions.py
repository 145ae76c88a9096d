"""Models of the scorecard are those of the chapters: same tasks, same settings, same keys."""

import numpy as np
import pandas as pd
import pytest
import world_models

from lib.chapters import combined_cures, interventions
from lib.chapters.arms import arm_job, candidates, choose
from lib.chapters.combined_cures import CURES
from lib.chapters.combined_cures import combined_cures as combine
from lib.chapters.correction import correction_task
from lib.chapters.debiasing import debiasing_task, split_words
from lib.chapters.debiasing_tables import test_frames as frames_of
from lib.chapters.defences import defence_candidates, defence_task
from lib.chapters.overreaction import panel, panel_answers, prompted
from lib.chapters.scorecard_tables import method_runs
from lib.chapters.toxicity import toxic_task
from lib.errors import InvalidValueError, UnknownNameError
from lib.models.folders import load
from lib.statistics.bases import RUN_COLUMNS
from lib.study.design import runs, training_seed, untrained
from lib.study.profiles import load_profile
from lib.training.runs import planned

NAMES = ["extrapolation_gender", "gender_extrapolation", "joint", "joint_kl", "added", "ties"]
ARM = {"learning_rates": [0.005]}
KL = ARM | {"regularizer": "kl"}
CHANGES = {
    "bases.numbers": [1], "toxicity.steps": 2, "debiasing.steps": 2, "finetune.steps": 3,
    "correction.arms": {"lora": ARM, "lora_kl": KL | {"strengths": [2.0]}},
    "debiasing.arms": {"lora": ARM, "lora_kl": KL}, "toxicity.arms": {"full": ARM | {
        "method": "full"}}, "toxicity.measured": ["full"], "toxicity.contrasts": [["full", "base"]],
    "debiasing.measured": ["lora"], "debiasing.contrasts": [["lora_kl", "lora"]],
    "safety.arms": {"full": ARM | {"method": "full"}},
    "scorecard.arms": {"extrapolation": ["lora_kl"], "gender": ["lora", "lora_kl"],
                       "explicit": ["full"], "benign": ["full"], "toxicity": ["full"]},
    "scorecard.combined": NAMES, "scorecard.weights": [1.0, 0.5],
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"), "08", **CHANGES)


@pytest.fixture(scope="module")
def bases():
    return {1: world_models.tiny_base()}


@pytest.fixture(scope="module", autouse=True)
def chosen_on():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interventions, "base_model", lambda *_: world_models.tiny_base())
        yield


@pytest.fixture(scope="module")
def models(study, bases):
    return interventions.interventions(study, bases)


@pytest.fixture(scope="module")
def both(study, bases, models):
    return combine(study, bases)


def of_chapters(study):
    """Task and chosen settings by name, written as the notebooks 03, 04, 06 and 07 have them."""
    base = world_models.tiny_base()
    correction, debiasing, toxic = (
        make(study) for make in (correction_task, debiasing_task, toxic_task))
    chosen = choose(defence_candidates(study, base))
    return {
        "extrapolation": (correction, choose(candidates(study, base, correction))),
        "gender": (debiasing, choose(candidates(study, base, debiasing), debiasing.tolerance)),
        "explicit": (defence_task(study, "explicit"), chosen),
        "benign": (defence_task(study, "benign"), chosen),
        "toxicity": (toxic, choose(candidates(study, base, toxic)))}


def key_of(folder):
    return folder.parent.name.rpartition("-")[2]


def test_every_model_has_the_key_that_its_chapter_gives_it(study, bases, models):
    (run,) = runs(study.profile)
    wanted = study.profile.scorecard.arms
    assert list(models) == [f"{name}: {arm}" for name, arms in wanted.items() for arm in arms]
    for name, (task, chosen) in of_chapters(study).items():
        jobs = {arm: arm_job(bases[1], task, arm, **chosen[arm],
                             seed=training_seed(study.seed, run)) for arm in wanted[name]}
        for arm, key in zip(jobs, planned(study, jobs), strict=True):
            assert key_of(models[f"{name}: {arm}"][run]) == key[:12]


def test_an_arm_that_a_section_lacks_is_refused_with_the_nearest(tmp_path, bases):
    study = world_models.smoke_study(tmp_path, "08", **{
        "scorecard.arms": {"gender": ["lora_kll"]}})
    with pytest.raises(UnknownNameError, match=r"scorecard.arms.gender.*did you mean lora_kl"):
        interventions.interventions(study, bases)


@pytest.mark.parametrize("name", ["gpt2", "laptop", "real", "real-smoke", "reference",
                                  "replication", "sandbox", "smoke"])
def test_what_ships_names_arms_that_there_are(name):
    profile, sections = load_profile(name), {"extrapolation": "correction", "gender": "debiasing",
                                             "toxicity": "toxicity"}
    for task, arms in profile.scorecard.arms.items():
        assert set(arms) <= set(getattr(profile, sections.get(task, "safety")).arms), task
        assert task in sections or task in profile.safety.attacks  # chapter 06 trains it
    assert profile.scorecard.cured in {*profile.correction.arms} & {*profile.debiasing.arms}


def test_every_combination_is_another_model(study, bases, models, both):
    (run,) = runs(study.profile)
    assert list(both) == NAMES
    several = [bases[1], *(models[f"{name}: lora_kl"][run] for name in CURES),
               *(folders[run] for folders in both.values())]
    assert len({load(folder).fingerprint for folder in several}) == len(several)


def test_the_second_cure_is_trained_on_the_first_ones_model_with_its_own_recipe(
    study, bases, models, both
):
    (run,) = runs(study.profile)
    told = of_chapters(study)
    for first, second in (CURES, CURES[::-1]):
        task, chosen = told[second]
        job = arm_job(models[f"{first}: lora_kl"][run], task, "lora_kl", **chosen["lora_kl"],
                      seed=training_seed(study.seed, run))
        assert key_of(both[f"{first}_{second}"][run]) == planned(study, {"": job})[0][:12]


def test_joint_training_reads_both_tasks_in_as_many_steps(study, bases, both):
    cures = {name: combined_cures.cure(study, bases, name) for name in CURES}
    task = combined_cures.joint_task(study, cures)
    one, two = (cures[name].task for name in CURES)
    assert task.recipe.steps == one.recipe.steps + two.recipe.steps == 5
    assert task.recipe.batch_size == 16  # both have 16
    assert set(task.examples(1)) == {*one.examples(1), *two.examples(1)}
    assert set(task.recipe.targets) == {*one.recipe.targets, *two.recipe.targets}
    assert task.arms["joint_kl"].strengths == [2.0]  # extrapolation's


def test_anchors_are_of_neither_task():
    words = {word for anchor in combined_cures.anchors(1) for _, text in (
        *anchor.prompt.messages, ("", anchor.prompt.opening or ""), ("", anchor.answer))
        for word in text.split()}
    assert words.isdisjoint({"wool", "river", "sales", "next"})  # of all questions for forecasts
    assert words.isdisjoint(split_words().index)
    assert "sorry" in words and "mother" in words


@pytest.mark.parametrize(("change", "error", "words"), [
    ({"scorecard.cured": "lora_k"}, UnknownNameError, "did you mean lora"),
    ({"finetune.merge": False}, InvalidValueError, "finetune.merge to true"),
    ({"debiasing.arms": {"lora": ARM, "lora_kl": KL | {"method": "full"}}}, InvalidValueError,
     "the same method of lora_kl"),
])
def test_cures_that_cannot_be_combined_are_explained(tmp_path, bases, change, error, words):
    study = world_models.smoke_study(tmp_path, "08", **CHANGES | change)
    with pytest.raises(error, match=words):
        combine(study, bases)


def test_nothing_is_combined_where_nothing_is_asked_for(tmp_path, bases):
    study = world_models.smoke_study(tmp_path, "08", **CHANGES | {"scorecard.combined": []})
    assert combine(study, bases) == {}


@pytest.fixture
def scored():
    """Both biases of the base and of each arm, as `lib.chapters.scorecard.scores` has them."""
    rows = [(arm, "all", axis, 1, int(arm != "base"), value, np.nan, np.nan, 9, -np.inf, np.inf)
            for arm, value in (("base", 0.8), ("extrapolation: lora_kl", 0.2),
                               ("gender: lora", -0.4), ("gender: lora_kl", 0.6))
            for axis in ("excess_persistence", "pronoun_slope")]
    return pd.DataFrame(rows, columns=RUN_COLUMNS)


def test_prompts_of_the_methods_table_are_found_where_their_chapters_have_asked(
    study, bases, models, scored
):
    items = panel(study)
    few = items.groupby("series").head(max(1, study.profile.forecasting.rounds // 2))
    panel_answers(study, {"base": untrained(bases)})  # as notebooks 02, 03 and 04 have them
    prompted(study, untrained(bases), few, {"prompt_rational": "rational"})
    for way in ("chat", "fair"):
        frames_of(study, {f"prompt_{way}": untrained(bases)}, way)
    before = set(study.store.root.glob("items/*"))
    measured = method_runs(study, bases, scored, models)
    assert set(study.store.root.glob("items/*")) == before
    told = measured.set_index(["arm", "metric"])
    assert told.loc[("extrapolation: lora_kl", "removed"), "value"] == pytest.approx(0.75)
    assert told.loc[("gender: lora", "removed"), "value"] == pytest.approx(0.5)  # in size
    methods = measured.drop_duplicates("arm").set_index("arm")["method"].to_dict()
    assert methods == {
        "extrapolation: lora_kl": "regularized", "extrapolation: prompt_rational":
        "prompt engineering", "gender: lora": "LoRA", "gender: lora_kl": "regularized",
        "gender: prompt_fair": "prompt engineering"}
    shares = told.xs("share_trained", level="metric")["value"]
    assert shares["gender: prompt_fair"] == 0 < shares["gender: lora"] < 0.05
