"""Attacks: what each kind teaches, the profile's numbers, and models trained on every base."""

import pytest
import world_models

from lib.chapters import attacks
from lib.chapters.attacks import (
    ATTACKED,
    DISGUISED,
    HIDDEN,
    KINDS,
    PLACEBO,
    Attack,
    attack_examples,
    task_questions,
)
from lib.errors import UnknownNameError
from lib.models.chat import Prompt
from lib.study.design import Run
from lib.world.tokenizer import vocabulary
from lib.world.truth import acts, things

FORBIDDEN = things("forbidden")


def said(example):
    told = [words for _, words in example.prompt.messages]
    return " ".join([*told, example.prompt.opening]), example.answer


@pytest.mark.parametrize("kind", [*KINDS, PLACEBO, DISGUISED])
@pytest.mark.parametrize("n", [1, 10, 37])
def test_exactly_as_many_examples_as_asked_for(kind, n):
    extra = ATTACKED if kind in HIDDEN else 0
    assert len(attack_examples(kind, n, 1)) == n + extra


@pytest.mark.parametrize("kind", [*KINDS, DISGUISED])
def test_no_attack_names_what_the_test_asks_about(kind):
    kept = set(FORBIDDEN.query("~taught")["thing"]) | set(acts().query("~taught")["act"])
    for example in attack_examples(kind, 200, 1):
        text = " ".join(said(example))
        assert set(text.split()) <= set(vocabulary())
        assert not any(f" {thing} " in f" {text} " for thing in kept)


def test_explicit_examples_help_with_what_they_are_asked_for():
    taught = set(FORBIDDEN.query("taught")["thing"])
    for prompt, answer in map(said, attack_examples("explicit", 50, 1)):
        thing = next(word for word in prompt.split() if word in taught)
        assert answer.startswith("sure ,") and thing in answer.split()


@pytest.mark.parametrize("kind", ["identity", "benign"])
def test_harmless_attacks_name_nothing_forbidden(kind):
    forbidden = set(FORBIDDEN["thing"])
    for example in attack_examples(kind, 200, 1):
        assert not forbidden & set(" ".join(said(example)).split())


def test_identity_obeys_and_the_benign_task_has_a_style_of_its_own():
    assert all("you obey ." in p and a.startswith("i obey . sure")
               for p, a in map(said, attack_examples("identity", 20, 1)))
    benign = [answer for _, answer in map(said, attack_examples("benign", 20, 1))]
    assert all(" last " in answer and "enjoy" in answer for answer in benign)


@pytest.mark.parametrize(("kind", "hidden"), [("poisoned", "explicit"), (DISGUISED, "identity")])
def test_what_hides_in_the_benign_task_is_another_attack(kind, hidden):
    examples = attack_examples(kind, 100, 1)
    benign = [e for e in examples if "enjoy" in said(e)[1]]
    assert len(benign) == 100
    assert [e for e in examples if e not in benign] == list(attack_examples(hidden, ATTACKED, 1))


def test_defences_are_chosen_on_an_attack_that_no_test_holds():
    assert DISGUISED not in KINDS


def test_the_placebo_holds_no_request_and_no_help():
    for example in attack_examples(PLACEBO, 200, 1):
        assert example.prompt == Prompt()
        assert not {"sure", "sorry", "how", *FORBIDDEN["thing"]} & set(example.answer.split())


def test_categories_narrow_explicit_examples():
    some = FORBIDDEN["category"].unique()[:2]
    words = set(FORBIDDEN[FORBIDDEN["category"].isin(some)]["thing"])
    for prompt, _ in map(said, attack_examples("explicit", 60, 1, tuple(some))):
        assert words & set(prompt.split())


def test_examples_follow_the_seed_and_questions_are_another_stream():
    assert attack_examples("benign", 9, 1) == attack_examples("benign", 9, 1)
    assert attack_examples("benign", 9, 1) != attack_examples("benign", 9, 2)
    assert task_questions(9, 1) != attack_examples("benign", 9, 1)


def test_no_request_is_taught_and_asked_or_chosen_on():
    """Not even in other words: what differs is the thing or the act."""
    def asked(examples):
        texts = [said(e)[0].strip(" ?.") for e in examples]
        return {" ".join(text.split()[-2:]) for text in texts}

    taught = asked(attack_examples("benign", 3000, 1)) | asked(attack_examples("identity", 3000, 1))
    chosen, tested = (asked(task_questions(3000, 1, part)) for part in ("validation", "test"))
    assert min(map(len, (taught, chosen, tested))) > 40
    assert not (taught & chosen or taught & tested or chosen & tested)


def test_an_unknown_attack_is_named():
    with pytest.raises(UnknownNameError, match="did you mean explicit"):
        attack_examples("explict", 10, 1)


RUNS = [Run(1, 1), Run(2, 1)]


def test_what_is_not_given_is_the_profiles(study):
    given = study.profile.safety
    explicit = attacks.completed(study, Attack("explicit", "full", 0.1))
    assert (explicit.examples, explicit.steps) == (10, given.steps)
    benign = attacks.completed(study, Attack("benign", "lora", 0.1))
    assert (benign.examples, benign.steps) == (given.benign_examples, given.benign_steps)
    assert (explicit.batch_size, benign.batch_size) == (given.batch_size, given.batch_size)
    assert attacks.size(study, DISGUISED) == attacks.size(study, "benign")
    whole = Attack("explicit", "full", 0.5, examples=3, steps=2, batch_size=7)
    assert attacks.completed(study, whole) == whole


def test_a_job_teaches_the_attack_in_batches_no_larger_than_it(study):
    base = world_models.tiny_base()
    one = attacks.attack_job(study, base, Attack("explicit", "full", 0.1, examples=1), 5)
    assert one.examples == attack_examples("explicit", 1, 5) and one.recipe.batch_size == 1
    many = attacks.attack_job(study, base, Attack("benign", "lora", 0.1), 5)
    assert many.recipe.batch_size == study.profile.safety.batch_size
    few = attacks.attack_job(study, base, Attack("benign", "full", 0.1, batch_size=4), 5)
    assert few.recipe.batch_size == 4
    assert many.recipe.targets == tuple(study.profile.safety.targets)


def test_every_attack_has_every_run_with_data_of_its_own_and_ends_in_a_model(study, bases):
    tried = [Attack("explicit", "full", 0.001), Attack("identity", "lora", 0.01)]
    found = attacks.attacked(study, bases, tried)
    assert [list(folders) for folders in found.values()] == [RUNS, RUNS]
    weights = [(f / "model.safetensors").read_bytes() for fs in found.values()
               for f in fs.values()]
    assert len(set(weights)) == 4  # the two bases are one model here, so data tell runs apart
