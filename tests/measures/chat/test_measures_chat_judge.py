"""The judge against states in which the verdict was planted, and against its own audit."""

from functools import cache
from zlib import crc32

import numpy as np
import pytest
import tiny_models

from lib.errors import InvalidValueError
from lib.measures.chat import judge
from lib.measures.chat.judge import VERDICTS, labelled, opens_as_refusal

WIDTH = 30


@cache
def known():
    """Request and answer to the position of their verdict."""
    return {(row.request, row.answer): VERDICTS.index(row.verdict)
            for half in ("taught", "tested") for row in labelled(half).itertuples()}


def planted(strength):
    """States that are noise but for a direction a verdict; each feature on a scale of its own."""
    rng = np.random.default_rng(0)
    directions, scales = rng.normal(size=(3, WIDTH)), rng.uniform(0.01, 100, WIDTH)

    def states(model, requests, answers):
        seed = crc32("".join(requests).encode())  # other noise for the other half
        noise = np.random.default_rng(seed).normal(size=(len(requests), WIDTH))
        truth = [known()[pair] for pair in zip(requests, answers, strict=True)]
        return (noise + strength * directions[truth]) * scales + 5

    return states


def test_planted_verdicts_are_found_on_requests_never_taught(monkeypatch):
    monkeypatch.setattr(judge, "_states", planted(2.0))
    tested = labelled("tested")
    found = judge.teach(None).verdicts(tested["request"], tested["answer"])
    assert np.mean(np.array(found) == tested["verdict"]) > 0.97


def test_weights_are_those_of_ridge_regression(monkeypatch):
    states = planted(1.0)
    monkeypatch.setattr(judge, "_states", states)
    taught = labelled("taught")
    found = judge.teach(None)
    x = states(None, taught["request"], taught["answer"])
    x = (x - x.mean(0)) / x.std(0)
    y = np.array([[1.0 if v == w else -1.0 for w in VERDICTS] for v in taught["verdict"]])
    # Ridge is least squares with one more row a weight, which pulls it to zero.
    padded = np.vstack([x, np.sqrt(WIDTH) * np.eye(WIDTH)])
    truth = np.linalg.lstsq(padded, np.vstack([y - y.mean(0), np.zeros((WIDTH, 3))]), rcond=None)[0]
    np.testing.assert_allclose(found.weights, truth, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(found.bias, y.mean(0))


def test_states_without_the_verdict_fail_the_audit(monkeypatch):
    monkeypatch.setattr(judge, "_states", planted(0.0))
    table = judge.audit(judge.teach(None)).query("measure == 'judge'")
    chance = table.groupby("verdict")["value"].mean()
    assert chance.max() < 0.8 and chance.mean() == pytest.approx(1 / 3, abs=0.12)


def test_the_audit_counts_what_each_measure_gets_right(monkeypatch):
    monkeypatch.setattr(judge, "_states", planted(2.0))
    table = judge.audit(judge.teach(None)).set_index(["kind", "measure"])
    tested = labelled("tested")
    for kind, some in tested.groupby("kind"):
        fired = some["answer"].map(opens_as_refusal)
        right = (fired == (some["verdict"] == "refused")).mean()
        assert table.loc[(kind, "keyword"), "value"] == pytest.approx(right)
        assert table.loc[(kind, "keyword"), "n"] == len(some)
    assert table.loc[("friend", "keyword"), "value"] == 0
    assert table["value"].between(table["low"] - 1e-9, table["high"] + 1e-9).all()


def test_a_reader_of_words_without_meaning_finds_refusals_and_fails_the_audit():
    """Random weights still show which words occur: refusals give themselves away, topics do not."""
    table = judge.audit(judge.teach(tiny_models.smollm2_model())).query("measure == 'judge'")
    right = table.set_index("kind")["value"]
    assert right["refusal"] > 0.5  # a third by chance
    assert right[["help", "elsewhere"]].mean() < 0.8


def test_the_last_rows_of_the_audit_are_about_alarming_requests(monkeypatch):
    monkeypatch.setattr(judge, "_states", planted(2.0))
    table = judge.audit(judge.teach(None)).tail(6)
    tested = labelled("tested").query("alarming")
    assert set(table["kind"]) == {"alarming request"} and set(table["verdict"]) == set(VERDICTS)
    assert (table.set_index("verdict")["n"].to_dict()
            == tested["verdict"].value_counts().to_dict())


def test_an_empty_answer_is_neither_and_is_not_read(monkeypatch):
    monkeypatch.setattr(judge, "_states", planted(2.0))
    taught = judge.teach(None)
    row = labelled("tested").query("verdict == 'carried out'").iloc[0]
    assert taught.verdicts(["x", row["request"], "y"], ["", row["answer"], " \n"]) == [
        "neither", "carried out", "neither"]
    assert taught.verdicts(["x"], [""]) == ["neither"]


def test_states_beyond_the_format_are_an_error(monkeypatch):
    monkeypatch.setattr(judge, "answer_states", lambda *_: np.full((2, 4), np.inf))
    with pytest.raises(InvalidValueError, match="finite"):
        judge._states(tiny_models.smollm2_model(), ["a", "b"], ["c", "d"])


def test_a_verdict_does_not_depend_on_the_company():
    model = tiny_models.smollm2_model()
    taught, tested = judge.teach(model), labelled("tested").head(30)
    together = taught.verdicts(tested["request"], tested["answer"])
    alone = [taught.verdicts([r], [a])[0]
             for r, a in zip(tested["request"], tested["answer"], strict=True)]
    assert together == alone


def test_a_model_that_cannot_chat_is_refused():
    with pytest.raises(InvalidValueError, match="chat template"):
        judge.teach(tiny_models.gpt2_model())
