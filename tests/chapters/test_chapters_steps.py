"""Step sizes of attacks: the smallest that works, chosen on a base of its own, recalled by key."""

import pandas as pd
import pytest
import world_models

from lib.chapters import answers, steps
from lib.chapters.attacks import Attack, attack_job, task_questions
from lib.study import paths
from lib.study.design import Run, training_seed
from lib.study.notebook import COLUMNS, csv_text
from lib.training.runs import model_folder, train_all


def tried(**columns):
    rows = {"attack": ["explicit"] * 3 + ["benign"] * 3, "method": "full",
            "learning_rate": [0.001, 0.0003, 0.003] * 2, "kept": [0.2, 0.9, 0.0, 1.0, 1.0, 0.1],
            "utility": 1.0, "task_loss": [9.0, 9.0, 9.0, 4.4, 5.0, 4.3]}
    return pd.DataFrame(rows | columns)


def test_an_attack_takes_the_smallest_step_that_works_and_a_task_the_one_with_the_least_loss():
    chosen = steps.chosen_steps(tried())
    assert chosen == {("explicit", "full"): 0.001, ("benign", "full"): 0.003,
                      ("poisoned", "full"): 0.003, ("placebo", "full"): 0.001}


def test_where_no_step_works_the_one_that_leaves_fewest_refusals_is_taken():
    assert steps.chosen_steps(tried(kept=[0.8, 0.9, 0.7, 1, 1, 1]))["explicit", "full"] == 0.003


def test_step_sizes_are_compared_on_the_base_for_choosing_and_on_other_requests(study):
    base, given = world_models.tiny_base(), study.profile.safety
    table = steps.step_candidates(study, base)
    assert len(table) == (sum(map(len, given.learning_rates.values()))
                          + 2 * sum(map(len, given.attack_rates.values())))
    assert not set(answers.validation_requests()["text"]) & set(answers.quick_requests()["text"])
    rows = table[(table["attack"] == "benign") & (table["method"] == "full")]
    attack = Attack("benign", "full", given.learning_rates["full"][-1])
    job = attack_job(study, base, attack, training_seed(study.seed, Run(0, 1)))
    folder = model_folder(train_all(study, {"one": job})["one"])
    asked = task_questions(given.questions, study.seed, "validation")
    by_hand = world_models.answer_nats([folder], asked)
    assert rows["task_loss"].iloc[-1] == pytest.approx(by_hand, rel=1e-4)
    shown = steps.step_rows(table)
    assert shown["value"].equals(table["kept"]) and shown["key"].is_unique


def test_step_sizes_in_the_committed_table_are_not_trained_again(study, monkeypatch, tmp_path):
    base = world_models.tiny_base()
    table = steps.step_candidates(study, base).assign(kept=0.25)
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    (tmp_path / "tables").mkdir()
    text = csv_text(steps.step_rows(table), COLUMNS)
    (tmp_path / "tables" / "05_sizes.csv").write_text(text)
    monkeypatch.setattr(steps, "train_all", None)
    pd.testing.assert_frame_equal(steps.step_candidates(study, base), table)
