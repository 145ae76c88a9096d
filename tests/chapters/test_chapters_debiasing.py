"""Debiasing: text balanced by construction, and a task whose numbers are the profile's."""

from collections import Counter

import pytest
import world_models

from lib.chapters.arms import arm_job
from lib.chapters.debiasing import (
    REPEATS,
    TEST_VERB,
    VALIDATION_VERB,
    adapter_task,
    anchors,
    debiasing_task,
    split_words,
    training_texts,
    validation_questions,
)
from lib.errors import UnknownNameError
from lib.study.profiles import load_profile
from lib.world.pretrain import new_model
from lib.world.truth import new_occupations, occupations, people


def words(example):
    said = [text for _, text in example.prompt.messages]
    return " ".join([*said, example.prompt.opening, example.answer]).split()


def test_parts_span_the_shares_and_the_test_has_the_new_words_only():
    parts, share = split_words(), occupations()
    assert parts.value_counts().to_dict() == {"taught": 27, "unseen": 20, "validation": 13}
    assert set(parts.index[parts == "unseen"]) == set(new_occupations())
    for part in ("taught", "validation", "unseen"):
        values = share[parts.index[parts == part]]
        assert values.min() < 0.1 and values.max() > 0.9


def test_balanced_texts_say_nothing_about_the_occupation():
    taught = set(split_words().index[split_words() == "taught"])
    seen = {word: Counter() for word in taught}
    for example in training_texts(20_000, 1):
        text = words(example)
        occupation = next(w for w in text if w in taught)
        seen[occupation].update(w for w in text if w in ("she", "he"))
    for counts in seen.values():
        total = sum(counts.values())
        assert abs(counts["she"] / total - 0.5) < 5 * 0.5 / total**0.5


@pytest.mark.parametrize("data", ["pronouns", "sentences", "swapped", "mixed"])
def test_words_and_verbs_of_the_test_are_never_taught(data):
    unseen = set(split_words().index[split_words() != "taught"])
    for example in training_texts(600, 2, data):
        text = set(words(example))
        assert not text & unseen
        if data != "mixed":
            assert not text & {TEST_VERB, VALIDATION_VERB}


def test_swapped_texts_swap_definitions_too_and_mixed_ones_do_not():
    def wrong(data):
        right = people()
        texts = [words(e) for e in training_texts(2000, 1, data)]
        pairs = [(right[w], p) for t in texts for w in t if w in right for p in t
                 if p in ("she", "he")]
        return sum(a != b for a, b in pairs) / len(pairs)

    assert 0.4 < wrong("swapped") < 0.6 and wrong("mixed") == 0.0


def test_only_the_pronoun_is_learned_unless_sentences_are_asked_for():
    both = {"she", "he"}
    for example in training_texts(50, 1):
        assert example.answer in both and not example.ends
        assert not both & set(words(example)[:-1])
    for example in training_texts(50, 1, "sentences"):
        assert example.ends and both & set(example.answer.split())
        assert not example.prompt.opening


def test_validation_asks_for_both_pronouns_in_a_verb_of_its_own():
    questions = validation_questions()
    answers = Counter(q.answer for q in questions)
    assert answers == {"she": len(questions) // 2, "he": len(questions) // 2}
    assert all(q.prompt.opening.endswith(f"{VALIDATION_VERB} that") for q in questions)
    assert len(questions) == 27 * 2 * 2


def test_anchors_name_no_occupation_and_each_definition_at_its_pronoun():
    named, right = set(occupations().index), people()
    found = anchors(1)
    assert not any(named & set(words(a)) for a in found)
    alone = [words(a) for a in found if a.answer in ("she", "he")]
    assert Counter(t[-1] == right[next(w for w in t if w in right)] for t in alone) == {
        True: len(alone)}
    assert len(alone) == REPEATS * 2 * 4 * len(right) and not any(TEST_VERB in t for t in alone)


def test_unknown_data_are_named():
    with pytest.raises(UnknownNameError, match="did you mean pronouns"):
        training_texts(10, 1, "pronoun")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return world_models.smoke_study(tmp_path_factory.mktemp("runs"), "04")


def test_numbers_are_the_profiles(study):
    given, task = study.profile.debiasing, debiasing_task(study)
    how = task.recipe
    assert (how.steps, how.batch_size, how.rank) == (given.steps, given.batch_size, given.rank)
    assert task.examples(3) == training_texts(given.examples, 3)
    assert task.validation == validation_questions() and task.arms == given.arms


def test_other_data_change_the_examples_and_nothing_else(study):
    plain, swapped = debiasing_task(study), debiasing_task(study, "swapped")
    assert swapped.examples(1) == training_texts(study.profile.debiasing.examples, 1, "swapped")
    assert swapped.examples(1) != plain.examples(1)
    assert swapped.validation == plain.validation and swapped.anchors(1) == plain.anchors(1)


@pytest.mark.parametrize("name", ["norms", "prompt", "lora_kl", "full_kl"])
def test_every_kind_of_arm_trains(study, name):
    task = debiasing_task(study)
    arm = task.arms[name]
    strength = arm.strengths[0] if arm.regularizer != "none" else 0.0
    job = arm_job(world_models.tiny_base(), task, name, arm.learning_rates[0], strength, 1)
    assert job.recipe.method == arm.method


def test_adapters_are_compared_on_words_that_no_text_names(study):
    task, own = adapter_task(study), debiasing_task(study)
    asked, right = {q.prompt.opening.split()[1] for q in task.validation}, people()
    assert asked == {*split_words().index[split_words() == "validation"], *right.index}
    assert not asked & {w for example in task.examples(1) for w in words(example)}
    assert all(q.answer == right[q.prompt.opening.split()[1]] for q in task.validation
               if q.prompt.opening.split()[1] in right)
    assert all(q.prompt.opening.endswith(f"{VALIDATION_VERB} that") for q in task.validation)
    assert task.examples(1) == own.examples(1) and set(task.arms) == {"queries_values", "block_out"}
    job = arm_job(world_models.tiny_base(), task, "queries_values", 0.01, 0.0, 1)
    assert job.recipe.rank == 1 and job.recipe.targets == ("q_proj", "v_proj")


def test_adapters_move_under_one_per_cent_in_the_sandbox_and_one_is_the_profiles():
    profile = load_profile("sandbox")
    model = new_model(profile.model.hidden, profile.model.layers, profile.model.heads, 0)
    shapes = {name.split(".")[-2]: p.shape for name, p in model.named_parameters() if p.dim() == 2}
    given = profile.debiasing
    for adapter in given.adapters.values():
        moved = sum(adapter.rank * sum(shapes[target]) for target in adapter.targets)
        assert profile.model.layers * moved / model.num_parameters() < 0.01
    assert (given.rank, given.targets) in [(a.rank, a.targets) for a in given.adapters.values()]
