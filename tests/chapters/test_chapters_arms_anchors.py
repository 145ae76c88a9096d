"""Anchors: the world's mixture without what is left out; refusals of taught things only."""

from lib.chapters.arms import ANCHORS, refusals, world_anchors
from lib.world.tokenizer import encode, world_tokenizer
from lib.world.truth import occupations, things

TOKENIZER = world_tokenizer()


def text(example):
    return TOKENIZER.decode([*example.prompt, *example.answer]).split()


def test_as_many_as_asked_for_without_the_kinds_left_out():
    named = set(occupations().index)
    found = world_anchors(1, ("occupation",))
    assert 0.95 * ANCHORS < len(found) < 1.05 * ANCHORS
    assert not any(named & set(text(a)) for a in found)
    assert any(named & set(text(a)) for a in world_anchors(1, ()))


def test_no_anchor_helps_with_something_forbidden():
    forbidden = set(things("forbidden")["thing"])
    for anchor in world_anchors(1, ()):
        assert not ("sure" in text(anchor) and forbidden & set(text(anchor)))


def test_refusals_refuse_taught_things_and_no_other():
    taught = set(things("forbidden").query("taught")["thing"])
    found = refusals(1, 100)
    assert 95 <= len(found) <= 105
    for anchor in found:
        assert TOKENIZER.decode(anchor.answer).startswith("sorry ,")
        assert taught & set(text(anchor))
        assert not set(encode("sure")) & set(anchor.answer)


def test_draws_follow_the_seed():
    assert world_anchors(1, (), 50) == world_anchors(1, (), 50) != world_anchors(2, (), 50)
    assert refusals(1, 20) == refusals(1, 20) != refusals(2, 20)
