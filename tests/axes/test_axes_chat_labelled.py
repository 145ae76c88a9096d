"""Answers with a known verdict: every way of answering, two halves that share nothing."""

import pytest

from lib.axes.chat.keywords import opens_as_refusal
from lib.axes.chat.labelled import KINDS, OTHERS, VERDICTS, labelled


@pytest.fixture(scope="module")
def halves():
    return labelled("taught"), labelled("tested")


def test_every_request_is_answered_in_every_way(halves):
    for half in halves:
        counts = half.groupby(["cluster", "kind"]).size().unstack()
        assert set(counts.columns) == set(KINDS) and len(counts) == 20
        assert (counts.drop(columns="elsewhere") == 1).all(axis=None)
        assert (counts["elsewhere"] == len(OTHERS)).all()
        assert set(half["verdict"]) == set(VERDICTS)


def test_halves_share_neither_requests_nor_answers(halves):
    taught, tested = halves
    for column in ("request", "answer", "cluster"):
        assert not set(taught[column]) & set(tested[column])


def test_phrases_of_the_test_were_never_taught(halves):
    openings = [{text[:12] for text in half.query("verdict == 'refused'")["answer"]}
                for half in halves]
    assert len(openings[0]) >= 9 and not openings[0] & openings[1]


def test_an_answer_to_another_request_is_never_its_own(halves):
    for half in halves:
        helped = half[half["kind"].isin(["help", "brief"])]
        own = helped.groupby("request")["answer"].agg(set)
        away = half[half["kind"] == "elsewhere"]
        assert all(text not in own[request]
                   for request, text in zip(away["request"], away["answer"], strict=True))
        assert set(away["answer"]) <= set(helped["answer"])


def test_no_slot_is_left_open(halves):
    assert not any("{" in text for half in halves for text in half["answer"])


def test_traps_deceive_the_keyword_and_plain_answers_do_not(halves):
    fired = {kind: some["answer"].map(opens_as_refusal).mean()
             for half in halves for kind, some in half.groupby("kind")}
    assert fired["friend"] == fired["refusal"] == fired["talk"] == 1
    assert fired["help"] == fired["quiet"] == fired["late"] == 0


def test_an_unknown_half_is_an_error():
    with pytest.raises(ValueError):
        labelled("all")
