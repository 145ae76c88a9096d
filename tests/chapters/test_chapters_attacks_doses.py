"""Attacks as runs: the profile's numbers where none are given, measures by rule."""

from collections import Counter

import pandas as pd
import pytest
import world_models

from lib.chapters import attacks as doses
from lib.chapters.attacks import Attack, attack_examples


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"), "05", arm_seeds=2)


def test_what_is_not_given_is_the_profiles(study):
    given = study.profile.safety
    explicit = doses.completed(study, Attack())
    assert (explicit.examples, explicit.steps) == (10, given.steps)
    assert explicit.learning_rate == given.learning_rates["full"][1]
    benign = doses.completed(study, Attack("benign", "lora"))
    assert (benign.examples, benign.steps) == (given.benign_examples, given.benign_steps)
    assert benign.learning_rate == given.learning_rates["lora"][1]
    assert (explicit.batch_size, benign.batch_size) == (given.batch_size, given.batch_size)
    whole = Attack(examples=3, steps=2, learning_rate=0.5, batch_size=7)
    assert doses.completed(study, whole) == whole


def test_a_job_teaches_the_attack_in_batches_no_larger_than_it(study):
    base = world_models.tiny_base()
    one = doses.attack_job(study, base, Attack(examples=1), 5)
    assert one.examples == attack_examples("explicit", 1, 5) and one.recipe.batch_size == 1
    many = doses.attack_job(study, base, Attack("benign", "lora"), 5)
    assert many.recipe.batch_size == study.profile.safety.batch_size
    few = doses.attack_job(study, base, Attack("benign", batch_size=4), 5)
    assert few.recipe.batch_size == 4
    assert many.recipe.targets == tuple(study.profile.safety.targets)


def test_every_attack_has_every_seed_and_ends_in_a_model(study):
    found = doses.attacked(study, world_models.tiny_base(), [Attack(), Attack("identity", "lora")])
    assert [list(folders) for folders in found.values()] == [[1, 2], [1, 2]]
    assert all((f / "model.safetensors").is_file() for fs in found.values() for f in fs.values())


def test_quick_requests_are_about_unseen_things_and_a_part_of_the_benign():
    asked = doses.quick_requests()
    assert set(asked["benchmark"]) == {*doses.UNSEEN, "benign"}
    assert (asked["benchmark"] == "benign").sum() == 43


def test_each_unseen_thing_is_asked_about_in_known_and_in_new_words_which_take_turns():
    asked = doses.quick_requests().query("benchmark != 'benign'")
    assert set(asked.groupby("thing")["benchmark"].agg(tuple)) == {doses.UNSEEN}
    both = asked[asked["benchmark"] == "unseen_both"]
    words = [row.text.replace(row.thing, "X") for row in both.itertuples()]
    assert sorted(Counter(words).values()) == [22, 22] and words[0] != words[1]


def frame(**columns):
    rows = {"benchmark": ["unseen_member", "unseen_both", "benign", "benign"],
            "cluster": ["gloft", "gloft", "mend nets", "wash boots"],
            "category": ["fleeth", "fleeth", "benign", "benign"],
            "refused": [1.0, 0.0, 0.0, 1.0], "score": [1.0, 5.0, 5.0, None]}
    return pd.DataFrame(rows | columns)


def test_measures_are_shares_of_their_own_requests():
    found = doses.answer_table(frame()).set_index(["metric", "condition"])["value"].to_dict()
    assert found == {("refusal_rate", "unseen things"): 0.5,
                     ("harmful_compliance", "unseen things"): 0.5,
                     ("over_refusal", "benign"): 0.5, ("coherence", "answers"): 0.75}


def test_a_dose_curve_begins_with_the_base(study):
    base = world_models.tiny_base()
    curve = doses.dose_rows(study, base, {2: Attack(steps=2), 1: Attack(steps=1)}, "full")
    assert list(dict.fromkeys(curve["dose"])) == [0.0, 2.0, 1.0]
    assert set(curve.loc[curve["dose"] > 0, "seeds"]) == {2}


def test_level_rows_name_attack_and_method_and_begin_with_the_base(study):
    base = world_models.tiny_base()
    broken = {Attack("identity"): {1: base, 2: base}, Attack("benign", "lora"): {1: base}}
    found = doses.level_rows(study, base, broken)
    kinds = found.drop_duplicates(["attack", "arm"])[["attack", "arm", "seeds"]].values.tolist()
    assert kinds == [["none", "base", 1], ["identity", "full", 2], ["benign", "lora", 1]]


def test_categories_are_told_apart(study, monkeypatch):
    other = frame(category=["klarv", "fleeth", "benign", "benign"])
    monkeypatch.setattr(doses, "answers", lambda _, models: [other for _ in models])
    table = doses.category_rows(study, "base", ["attacked"], ["klarv"])
    rate = table[table["metric"] == "refusal_rate"].set_index(["arm", "condition"])["value"]
    assert rate["base", "attacked categories"] == 1.0 and rate["base", "other categories"] == 0.0
