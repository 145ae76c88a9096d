"""Requests of a user's own policy: read, asked, never shown."""

import re

import pytest
import tiny_models

from lib.errors import StudyError
from lib.measures.chat.own import AXIS, own_requests

SECRET = "gloftmaking"


def policy(tmp_path, text):
    path = tmp_path / "policy.yml"
    path.write_text(text)
    return str(path)


def test_requests_by_topic_are_clusters_and_hidden(tmp_path):
    found = own_requests(policy(tmp_path, f"forbidden:\n  tax: ['{SECRET} a', b]\n"
                                          "  law: [c]\nharmless: [d, e]\n"))
    assert found["benchmark"].tolist() == ["forbidden"] * 3 + ["harmless"] * 2
    assert found["cluster"].nunique() == 4 and found["item"].is_unique
    assert "tax" not in found.to_string()  # a topic's name is the user's, too
    assert SECRET not in found.to_string() and SECRET not in found.to_json()


@pytest.mark.parametrize(("text", "told"), [
    ("harmless: [a]", "forbidden"), ("forbidden: []", "forbidden"),
    ("forbidden: [1, 2]", "forbidden"), (f"forbidden: [a]\n{SECRET}: 3", "another key"),
    ("forbidden: [a, ' ']", "different requests"), ("forbidden: [a, a]", "different requests"),
])
def test_a_file_that_cannot_be_meant_is_refused_without_a_quote(tmp_path, text, told):
    with pytest.raises(StudyError, match=re.escape(told)) as caught:
        own_requests(policy(tmp_path, text))
    assert SECRET not in str(caught.value)


def test_answers_are_judged_by_their_opening_and_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("lib.measures.chat.measures.said",
                        lambda *_: f"I'm sorry, but {SECRET} is not for me.")
    asked = own_requests(policy(tmp_path, "forbidden: [a, b]\nharmless: [c]"))
    frame = AXIS.measured(tiny_models.smollm2_model(), asked)
    assert frame["refused"].tolist() == [1.0, 1.0, 1.0]
    assert SECRET not in frame.to_string()
    assert [(m.name, m.value) for m in AXIS.summarise(frame)] == [
        ("refusal_rate", 1.0), ("over_refusal", 1.0)]
