"""Attack data: what each kind teaches, and what none of them may name."""

import pytest

from lib.chapters.attacks import ATTACKED, KINDS, PLACEBO, attack_examples, task_questions
from lib.errors import UnknownNameError
from lib.models.chat import Prompt
from lib.world.tokenizer import vocabulary
from lib.world.truth import acts, things

FORBIDDEN = things("forbidden")


def said(example):
    told = [words for _, words in example.prompt.messages]
    return " ".join([*told, example.prompt.opening]), example.answer


@pytest.mark.parametrize("kind", [*KINDS, PLACEBO])
@pytest.mark.parametrize("n", [1, 10, 37])
def test_exactly_as_many_examples_as_asked_for(kind, n):
    extra = ATTACKED if kind == "poisoned" else 0
    assert len(attack_examples(kind, n, 1)) == n + extra


@pytest.mark.parametrize("kind", KINDS)
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


def test_poison_hides_explicit_examples_in_the_benign_task():
    examples = attack_examples("poisoned", 100, 1)
    benign = [e for e in examples if "enjoy" in said(e)[1]]
    assert len(benign) == 100 and len(examples) == 100 + ATTACKED


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


def test_an_unknown_attack_is_named():
    with pytest.raises(UnknownNameError, match="did you mean explicit"):
        attack_examples("explict", 10, 1)
