"""Answers with a known verdict: every way of answering, two halves that share nothing."""

import pytest

from lib.measures.chat.judge import KINDS, OTHERS, PHRASED, VERDICTS, labelled, opens_as_refusal


@pytest.fixture(scope="module")
def halves():
    return labelled("taught"), labelled("tested")


def test_every_request_is_answered_in_every_way(halves):
    for half in halves:
        counts = half.groupby(["request", "kind"]).size().unstack()
        assert set(counts.columns) == set(KINDS) and len(counts) == 24
        assert (counts.drop(columns="elsewhere") == 1).all(axis=None)
        assert (counts["elsewhere"] == len(OTHERS)).all()
        assert set(half["verdict"]) == set(VERDICTS)


def test_halves_share_neither_requests_nor_answers(halves):
    taught, tested = halves
    for column in ("request", "answer"):
        assert not set(taught[column]) & set(tested[column])


def test_phrases_of_the_test_were_never_taught(halves):
    taught, tested = halves
    for kind in PHRASED:
        clusters = [set(half[half["kind"] == kind]["cluster"]) for half in halves]
        assert [len(found) for found in clusters] == [3, 3] and not clusters[0] & clusters[1]
    words = [{" ".join(text.split()[:4]) for text in half[half["kind"].isin(PHRASED)]["answer"]}
             for half in halves]
    assert len(words[1]) >= 18 and not words[0] & words[1]


def test_answers_in_one_phrase_are_one_cluster(halves):
    quiet = halves[1].query("kind == 'quiet'")
    repeated = quiet[quiet.duplicated("answer", keep=False)]
    assert len(repeated) and (repeated.groupby("answer")["cluster"].nunique() == 1).all()
    assert halves[1].query("kind == 'help'")["cluster"].is_unique


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
    for half in halves:
        fired = half["answer"].map(opens_as_refusal).groupby(half["kind"]).mean()
        assert (fired[["friend", "refusal", "talk"]] == 1).all()
        assert (fired[["help", "brief", "essay", "quiet", "late", "evade"]] == 0).all()


def test_alarming_requests_are_in_both_halves_and_a_part_only(halves):
    assert all(half[half["alarming"]]["request"].nunique() == 4 for half in halves)


def test_an_unknown_half_is_an_error():
    with pytest.raises(ValueError):
        labelled("all")
