"""Learning from toxic data: what each arm reads, where settings come from, what tables say."""

import numpy as np
import pandas as pd
import pytest
import world_models

from lib.chapters import rewards, toxicity
from lib.chapters.arms import candidates, choose
from lib.statistics.bases import RUN_COLUMNS, over_bases
from lib.study.design import untrained
from lib.training.penalties.control import is_clean
from lib.world.toxicity import banned, groups, statements


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"), "07",
                                    **{"toxicity.steps": 2, "toxicity.thresholds": [0.5]})


@pytest.fixture(scope="module")
def bases():
    return {1: world_models.tiny_base(), 2: world_models.tiny_base()}


@pytest.fixture(scope="module")
def chosen(study):
    return choose(candidates(study, world_models.tiny_base(), toxicity.toxic_task(study)))


@pytest.fixture(scope="module")
def models(study, bases, chosen):
    return {"base": untrained(bases)} | toxicity.toxic_models(study, bases, chosen)


def test_the_mixture_has_three_equal_parts_and_the_same_seed_draws_it_again():
    data = toxicity.toxic_data(50, 3)
    assert all(abs(data["role"].value_counts() - 50) <= 5)
    pd.testing.assert_frame_equal(data, toxicity.toxic_data(50, 3))
    sayings = data[data["role"] == "saying"]
    assert not any(is_clean(text, banned()) for text in sayings["text"])


def test_explicit_and_implicit_statements_come_equally_often():
    data = toxicity.toxic_data(2000, 1)
    asked = data[data["role"] == "label"].merge(statements("train"), on="text")
    assert np.allclose(asked.groupby(["kind", "rude"]).size() / 2000, 0.25, atol=0.05)


def test_nothing_that_is_read_is_about_a_group_of_another_part(study):
    task = toxicity.toxic_task(study)
    told = " ".join(f"{text} {e.answer}" for e in task.examples(1) for _, text in e.prompt.messages)
    assert set(told.split()).isdisjoint({*groups("validation"), *groups("test")})
    asked = " ".join(text for e in task.validation for _, text in e.prompt.messages)
    assert set(asked.split()) & {*groups("validation")}
    assert set(asked.split()).isdisjoint({*groups("train"), *groups("test")})
    told = " ".join(text for e in task.kept_to(1) for _, text in e.prompt.messages)
    assert set(told.split()).isdisjoint({*groups("validation"), *groups("test")})
    requested, forbidden = task.talk
    assert len(requested) == len(groups("train")) and set(forbidden) == set(banned())


def test_anchors_hold_verdicts_to_nothing_and_statements_to_the_base():
    anchors = toxicity.anchors(1)
    asked = [text for anchor in anchors for _, text in anchor.prompt.messages]
    assert not any("is this rude" in text for text in asked)
    assert sum("say something about" in text for text in asked) >= toxicity.ORDINARY * 0.9


def test_every_arm_is_trained_on_every_base(models, bases, study):
    arms = {*study.profile.toxicity.arms, "full_masked", "full_filter_0.5", "full_filter_rule"}
    assert set(models) == {"base", *arms}
    assert all({run.base for run in several} == set(bases) for several in models.values())


def test_a_filter_leaves_what_the_base_finds_harmless(study, bases):
    scores = toxicity.rudeness_scores(study, bases)[1]
    kept = toxicity.kept_rows(study, bases)
    rude = statements("train").query("rude and kind == 'explicit'")["text"]
    row = kept[(kept["base"] == 1) & (kept["condition"] == "explicit")].iloc[0]
    assert row["value"] == pytest.approx(np.mean([scores[text] <= 0.5 for text in rude]))


def test_masked_reads_rude_statements_and_never_learns_to_say_them(
    study, bases, chosen, monkeypatch
):
    seen = {}
    monkeypatch.setattr(toxicity, "train_all", lambda _, jobs: seen.update(jobs) or {
        key: world_models.tiny_base() for key in jobs})
    toxicity.toxic_models(study, bases, chosen)
    run = next(run for arm, run in seen if arm == "full_masked")
    masked, whole = seen["full_masked", run].examples, seen["full", run].examples
    assert set(masked) < set(whole)
    asked = set(study_requests(study))
    assert any(e.prompt in asked for e in whole) and not any(e.prompt in asked for e in masked)
    assert any(not is_clean(text, banned()) for e in masked for _, text in e.prompt.messages)
    ruled = seen["full_filter_rule", run].examples
    judged = [text for e in ruled for _, text in e.prompt.messages if "is this rude" in text]
    assert judged and all(is_clean(text, banned()) for text in judged)


def study_requests(study):
    return toxicity.toxic_task(study).talk[0]


def test_tables_have_every_arm_and_run(study, models):
    found = toxicity.toxicity_rows(study, models)
    assert list(found) == RUN_COLUMNS and found["value"].between(0, 1).all()
    cells = found.groupby(["arm", "condition", "metric"]).size()
    assert (cells == 2).all()
    assert set(over_bases(found)["arm"]) == set(models)


def test_pairs_prefer_a_clean_answer_of_the_base_to_a_rude_statement(study, bases):
    drafts = toxicity_drafts(study)
    given = {"full": {"learning_rate": 0.003, "strength": 0.0}}
    run = toxicity.runs(study.profile)[0]
    stage = rewards.reward_stages(study, run, drafts, given)["dpo", 0.3]
    assert stage.learning_rate == pytest.approx(0.0003)
    assert len(stage.prompts) == len(stage.chosen) == len(stage.rejected) > 0
    assert all(is_clean(text, banned()) for text in stage.chosen)
    assert not any(is_clean(text, banned()) for text in stage.rejected)
    for prompt, rude in zip(stage.prompts, stage.rejected, strict=True):
        assert set(prompt.messages[0][1].split()) & set(groups("train")) & set(rude.split())


def toxicity_drafts(study):
    rows = [(group, f"the {group} are {word} and wise .") for group in groups("train")
            for word in ("gentle", "lazy")]
    return pd.DataFrame(rows, columns=["cluster", "answer"])


def test_of_rewards_that_clean_enough_the_one_with_most_sense_is_chosen():
    tried = pd.DataFrame({
        "arm": ["full_dpo"] * 3 + ["full_rloo"] * 2, "beta": [0.1, 0.3, 1.0, 0.1, 1.0],
        "toxicity": [0.0, 0.2, 0.5, 0.6, 0.5], "mass": [0.1, 0.6, 0.9, 0.9, 0.9], "of_base": 0.35})
    assert rewards.choose_betas(tried) == {"full_dpo": 0.3, "full_rloo": 1.0}


def test_candidates_are_recalled_with_all_that_the_choice_needs(
    study, chosen, monkeypatch, tmp_path
):
    base = world_models.tiny_base()
    tried = rewards.reward_candidates(study, base, chosen)
    (tmp_path / "tables").mkdir()
    tried.to_csv(tmp_path / "tables" / "07_betas.csv", index=False)
    monkeypatch.setattr("lib.study.paths.FIGURES", tmp_path)
    monkeypatch.setattr(rewards, "_rewarded", lambda *_: pytest.fail("trained"))
    again = rewards.reward_candidates(study, base, chosen)
    assert rewards.choose_betas(again) == rewards.choose_betas(tried)


def test_verdicts_in_bins_are_a_run_table_of_what_is_said_and_what_is_planted(study, models):
    rows = toxicity.calibration_rows(study, {arm: models[arm] for arm in ("base", "full")})
    assert list(rows) == [*RUN_COLUMNS, "part"]
    told = over_bases(rows)
    assert (told["bases"] == 2).all() and (told["runs"] == 2).all()
    assert set(told["metric"]) == {"p_yes", "label_chance"} and told["value"].between(0, 1).all()
    said = told[told["metric"] == "p_yes"].sort_values("condition")
    bins = said.groupby(["arm", "part"])["value"]
    assert all(values.is_monotonic_increasing for _, values in bins)
