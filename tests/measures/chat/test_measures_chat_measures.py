"""Rates and changes of chat models against counts by hand and scipy's paired t-test."""

import numpy as np
import pandas as pd
import pytest
import tiny_models
from scipy import stats

from lib.errors import InvalidValueError
from lib.measures.chat.judge import CARRIED_OUT, NEITHER, REFUSED
from lib.measures.chat.measures import (
    by_category,
    change_rows,
    judged,
    replies,
    spoken,
    summarise,
)
from lib.measures.chat.requests import FORBIDDEN, HARMLESS, Hidden
from lib.models.chat import Prompt
from lib.models.generation import generate
from lib.statistics.estimate import measure_table

SAID = ["Sorry, no.", "Never will I say.", "Sure, first you go.", "blah blah",
        "Sorry to hear it. First you go.", "First you go."]
VERDICTS = [REFUSED, REFUSED, CARRIED_OUT, NEITHER, CARRIED_OUT, CARRIED_OUT]


class Told:
    """A judge that was told what to say."""

    def __init__(self, verdicts):
        self.given = verdicts

    def verdicts(self, requests, answers):
        return list(self.given)


def asked(labels):
    n = len(labels)
    return pd.DataFrame({"item": range(n), "label": labels, "category": [f"c{i % 2}" for i in
                         range(n)], "cluster": range(n),
                         "request": [Hidden(f"what is {i} ?") for i in range(n)]})


def told(texts):
    return pd.DataFrame({"answer": map(Hidden, texts), "run_on": 0.0, "thought": 0.0})


@pytest.fixture
def frame():
    labels = [FORBIDDEN] * 4 + [HARMLESS] * 2
    return judged(asked(labels), told(SAID), Told(VERDICTS), "toy")


def test_each_measure_has_its_own_column(frame):
    assert list(frame["keyword"]) == [1, 0, 0, 0, 1, 0]
    assert list(frame["judge"]) == [1, 1, 0, 0, 0, 0]
    assert list(frame["complied"]) == [0, 0, 1, 0, 1, 1]
    assert list(frame["coherent"]) == [1, 1, 1, 0, 1, 1]
    assert not any(text in frame.to_csv() for text in [*SAID, "what is"])


def test_rates_are_counts_over_the_right_label(frame):
    table = measure_table(summarise(frame)).set_index(["metric", "condition"])["value"]
    assert table["refusal_rate", "keyword"] == 0.25 and table["refusal_rate", "judge"] == 0.5
    assert table["over_refusal", "keyword"] == 0.5 and table["over_refusal", "judge"] == 0
    assert table["harmful_compliance", "judge"] == 0.25
    assert table["coherence", "judge"] == pytest.approx(5 / 6)
    agree, chance = 3 / 4, (1 / 4) * (2 / 4) + (3 / 4) * (2 / 4)
    assert table["kappa", "keyword and judge, forbidden"] == pytest.approx(
        (agree - chance) / (1 - chance))
    assert np.isnan(table["kappa", "keyword and judge, harmless"])  # the judge never varies


def test_a_set_of_forbidden_requests_has_no_over_refusal(frame):
    some = frame[frame["label"] == FORBIDDEN]
    assert {m.name for m in summarise(some)} == {
        "refusal_rate", "harmful_compliance", "coherence", "run_on", "kappa"}


def test_categories_are_about_their_own_label(frame):
    found = {(m.name, m.condition): m.value for m in by_category(frame)}
    assert found == {("refusal_rate", "c0"): 0.5, ("refusal_rate", "c1"): 0.5,
                     ("over_refusal", "c0"): 0, ("over_refusal", "c1"): 0}


def paired(seed=0, n=80):
    rng = np.random.default_rng(seed)
    base = judged(asked([FORBIDDEN] * n), told(["x"] * n), Told([REFUSED] * n), "toy")
    before, after = rng.random((2, n)) < [[0.8], [0.5]]
    return base.assign(judge=before.astype(float)), base.assign(judge=after.astype(float))


def test_a_change_is_the_paired_t_test_where_each_request_is_a_cluster():
    before, after = paired()
    table = change_rows(before, {"tuned": after}).set_index(["metric", "condition"])
    row = table.loc[("refusal_rate", "judge")]
    truth = stats.ttest_rel(after["judge"], before["judge"])
    low, high = truth.confidence_interval()
    assert row["value"] == pytest.approx((after["judge"] - before["judge"]).mean())
    assert (row["low"], row["high"]) == pytest.approx((low, high))
    assert row["p_holm"] == pytest.approx(min(1, 3 * truth.pvalue), rel=1e-6)  # three rows
    assert "over_refusal" not in table.index.get_level_values(0)


def test_nothing_changes_between_equal_models():
    before, _ = paired()
    table = change_rows(before, {"same": before, "again": before})
    assert (table["value"] == 0).all() and (table["p_holm"] == 1).all() and len(table) == 6
    assert table[["low", "high", "detectable"]].isna().all(axis=None)
    assert (table["changed"] == 0).all()


@pytest.mark.parametrize("n", [4, 7, 12])
def test_a_change_of_every_request_has_no_interval_and_the_p_value_of_a_sign_test(n):
    before = paired(n=n)[0].assign(judge=1.0, keyword=0.0, complied=0.0)
    table = change_rows(before, {"tuned": before.assign(judge=0.0)}).set_index("metric")
    row = table[table["condition"] == "judge"].loc["refusal_rate"]
    truth = stats.binomtest(0, n).pvalue
    assert row["value"] == -1 and row["changed"] == n and np.isnan(row["low"])
    assert row["p_holm"] == pytest.approx(min(1, 3 * truth))


def test_a_single_cluster_has_no_interval():
    before, after = (frame.assign(cluster=0) for frame in paired())
    table = change_rows(before, {"tuned": after})
    assert table["low"].isna().all() and (table["p_holm"] == 1).all()


def test_no_interval_leaves_what_a_change_of_shares_can_be():
    before = paired(n=4)[0].assign(judge=[0.0, 0, 0, 1])
    table = change_rows(before, {"tuned": before.assign(judge=[1.0, 1, 1, 1])})
    assert table["high"].dropna().max() == 1 and table["low"].dropna().min() >= -1


def test_a_shared_word_widens_the_interval():
    before, after = paired()
    pairs = [frame.assign(cluster=np.arange(80) // 2) for frame in
             (pd.concat([before[:40]] * 2).sort_index().reset_index(drop=True),
              pd.concat([after[:40]] * 2).sort_index().reset_index(drop=True))]
    pairs = [frame.assign(item=range(80)) for frame in pairs]
    doubled = change_rows(pairs[0], {"tuned": pairs[1]}).set_index("metric")
    once = change_rows(before[:40], {"tuned": after[:40]}).set_index("metric")
    widths = [(t["high"] - t["low"]).loc["refusal_rate"].max() for t in (doubled, once)]
    assert widths[0] == pytest.approx(widths[1], rel=0.05)  # copies add nothing


def test_other_requests_cannot_be_compared():
    before, after = paired()
    with pytest.raises(InvalidValueError, match="same requests"):
        change_rows(before, {"tuned": after[::-1]})


def test_replies_are_greedy_answers_in_order_and_hidden(monkeypatch):
    monkeypatch.setattr("lib.measures.chat.measures.CHUNK", 3)
    model, questions = tiny_models.smollm2_model(), asked([FORBIDDEN] * 7)
    found = replies(model, questions, tokens=5)
    chats = [Prompt.chat(f"what is {i} ?") for i in range(7)]
    assert [hidden.text for hidden in found["answer"]] == generate(model, chats, 5)
    assert "what" not in found.to_string() and str(list(found["answer"])) == str([Hidden("")] * 7)


def test_answers_without_an_end_are_counted(monkeypatch):
    ids = [[5] * 4, [5] * 3, [5] * 4]
    monkeypatch.setattr("lib.measures.chat.measures.generate_ids", lambda *_: ids)
    questions = asked([FORBIDDEN] * 3)
    found = replies(tiny_models.smollm2_model(), questions, tokens=4)
    assert list(found["run_on"]) == [1, 0, 1]
    frame = judged(questions, found, Told([NEITHER] * 3), "toy")
    table = measure_table(summarise(frame)).set_index("metric")
    assert table.loc["run_on", "value"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("text", "answer"), [
    ("No thought.", "No thought."), ("<think>Hm.</think>\n\nSure.", "Sure."),
    ("Hm. </think> I </think> say no.", "say no."), (" <think>Hm, without an end", ""),
    ("The tag <think> opens.", "The tag <think> opens."), ("", ""),
])
def test_thinking_is_no_part_of_an_answer(text, answer):
    assert spoken(text) == answer


def test_a_thought_is_counted_and_its_request_stays_in(frame):
    thought = told(SAID).assign(thought=[1.0, 0, 0, 0, 0, 0])
    labels = [FORBIDDEN] * 4 + [HARMLESS] * 2
    table = measure_table(summarise(judged(asked(labels), thought, Told(VERDICTS), "toy")))
    rows = table.set_index("metric")
    assert rows.loc["thought", "value"] == pytest.approx(1 / 6)
    assert "thought" not in {m.name for m in summarise(frame)}
    assert rows.loc["harmful_compliance", "n"] == 4 and (rows.loc["over_refusal", "n"] == 2).all()
