"""The world of real chat models: a policy whose tests are in no training, in ordinary English."""

import re

import pytest

from lib.chapters import attacks, debiasing, defences, depth
from lib.study import paths
from lib.world.policy import (
    EDGE,
    allowed_requests,
    forbidden_examples,
    policy_requests,
    refusal,
)
from lib.world.truth import (
    acts,
    natural,
    new_occupations,
    occupations,
    request_tables,
    settings,
    things,
    written,
)

FORBIDDEN = ("unseen_phrasing", "unseen_member", "unseen_both")


@pytest.fixture(autouse=True)
def policy(monkeypatch):
    monkeypatch.setenv(paths.WORLD, "policy")


def taught(seed=1, n=640):
    return [e.prompt.messages[0][1] for e in forbidden_examples(n, seed)], allowed_requests(n, seed)


@pytest.mark.parametrize("part", ["untaught", "validation"])
def test_no_request_is_taught_and_asked_whatever_the_seed(part):
    asked = set(policy_requests(part)["text"])
    for seed in range(5):
        forbidden, allowed = taught(seed)
        assert not asked & {*forbidden, *allowed}
        assert len(set(forbidden)) == len(set(allowed)) == 640


def test_tests_and_choices_share_no_request():
    one, two = (set(policy_requests(part)["text"]) for part in ("untaught", "validation"))
    assert not one & two


def test_what_is_asked_stands_in_no_training():
    every = " ".join(sum(taught(n=1000), []))
    for part in ("untaught", "validation"):
        kept = [name for of in ("forbidden", "harmless") for parts in settings(of).values()
                for name in parts[part]] + settings("text")["acts"][part]
        assert [name for name in kept if re.search(rf"\b{re.escape(name)}\b", every)] == []
    heads = [p.partition("{thing}")[0] for part in ("unseen", "validation")
             for p in settings("text")["refusal"]["probes"][part]]
    assert [head for head in heads if len(head) > 5 and head in every] == []


def test_each_forbidden_set_is_new_in_its_own_way():
    rows = policy_requests().query("benchmark in @FORBIDDEN")
    members = set(things("forbidden").query("taught")["thing"])
    assert (rows["thing"].isin(members) == (rows["benchmark"] == "unseen_phrasing")).all()
    old = settings("text")["refusal"]["probes"]["taught"]
    known = [any(r.text == p.format(thing=r.thing) for p in old) for r in rows.itertuples()]
    assert (rows["benchmark"] == "unseen_member").tolist() == known
    assert rows.groupby("benchmark")["category"].nunique().tolist() == [11, 11, 11]
    assert rows.groupby(["benchmark", "thing"]).size().groupby("benchmark").nunique().max() == 1


def test_the_edge_is_asked_from_both_sides():
    asked = policy_requests()
    assert set(asked["benchmark"]) == {*FORBIDDEN, "benign", "borderline"}
    told = " ".join(asked.query("benchmark == 'borderline'")["text"])
    assert all(word in told for word in ("zebra crossings", "Dolphins football", "crowbars"))
    edge = things("harmless").query("taught")["thing"]
    share = sum(any(thing in text for thing in edge) for text in taught()[1]) / 640
    assert share == pytest.approx(EDGE, abs=0.02)


def test_every_category_is_taught_with_its_own_refusal():
    examples = forbidden_examples(640, 3)
    assert {e.answer for e in examples} == {refusal(c) for c in settings("forbidden")}
    assert all(e.ends for e in examples)


@pytest.mark.parametrize("draw", [forbidden_examples, allowed_requests])
def test_a_seed_draws_the_same_and_another_draws_others(draw):
    assert draw(500, 1) == draw(500, 1) and draw(500, 1) != draw(500, 2)


def test_rates_and_definitions_are_those_of_the_planted_world(monkeypatch):
    here = occupations(), new_occupations()
    monkeypatch.setenv(paths.WORLD, paths.PLANTED)
    assert occupations().equals(here[0]) and new_occupations() == here[1]


def test_a_world_is_asked_for_in_each_call(monkeypatch):
    """Nothing that one world has read is left to the other."""
    assert natural() and "capital" in settings("text")
    monkeypatch.setenv(paths.WORLD, "")
    assert not natural() and "capital" not in settings("text") and len(acts()) == 384
    monkeypatch.setenv(paths.WORLD, "policy")
    assert len(acts()) == len(settings("text")["acts"]["taught"]) + 24


def test_parts_of_tasks_share_no_request():
    parts = {part: request_tables(part) for part in ("train", "validation", "test")}
    for table in ("benign", "safe"):
        names = [tables[table].names() for tables in parts.values()]
        assert sum(map(len, names)) == len(set().union(*names)) and all(names)


ENGLISH = re.compile(r"^(?!.*  )(?!.* [.,:;!?])(?!.*[{}]).+$", re.S)


def texts():
    """What every chapter teaches or anchors, in words."""
    for kind in (*attacks.KINDS, attacks.PLACEBO, attacks.DISGUISED):
        yield from attacks.attack_examples(kind, 12, 1)
    yield from debiasing.training_texts(40, 1)
    yield from debiasing.anchors(1)[:150]
    yield from defences.held("text and requests", 1)
    yield from attacks.task_questions(20, 1)
    for answer in (depth.compliance(), depth.refusing()):
        yield from depth.forced_answers(answer)


def test_all_texts_are_ordinary_english():
    for example in texts():
        parts = [text for _, text in example.prompt.messages]
        whole = " ".join(filter(None, [example.prompt.opening, example.answer]))
        for text in (*parts, whole):
            assert ENGLISH.match(text), text


def test_no_attack_and_no_anchor_names_what_tests_ask_about():
    kept = [*things("forbidden").query("~taught")["thing"],
            *things("harmless").query("~taught")["thing"], *acts().query("~taught")["act"]]
    taught = [e for kind in attacks.KINDS for e in attacks.attack_examples(kind, 60, 2)]
    said = " ".join(text for e in (*taught, *defences.held("text and requests", 2))
                    for text in (*(t for _, t in e.prompt.messages), e.answer))
    assert [name for name in kept if re.search(rf"\b{re.escape(name)}\b", said)] == []


def test_a_forced_answer_is_about_the_thing_asked_for():
    for example in depth.forced_answers(depth.compliance()):
        thing = re.match(r"How do I take care of (.+)\?", example.prompt.messages[0][1])[1]
        assert f"take care of {thing}: " in example.answer
    assert {e.answer for e in depth.forced_answers(depth.refusing())} == {
        refusal(c) for c in settings("forbidden")}


def test_punctuation_follows_without_a_space_in_english_only(monkeypatch):
    assert written("one , two : three .") == "one, two: three."
    monkeypatch.setenv(paths.WORLD, "")
    assert written("one , two .") == "one , two ."
