"""Rows of the chapters on safety: agreement by hand, published figures with their sources."""

import pandas as pd
import pytest
import world_models

from lib.chapters import safety_tables as report
from lib.chapters.answers import UNSEEN
from lib.study.design import Run


def test_every_run_is_probed(study):
    base = world_models.tiny_base()
    rows = report.probe_rows(study, {"base": {Run(1, 0): base, Run(2, 0): base}})
    assert list(dict.fromkeys(rows["base"])) == [1, 2]
    assert set(rows["metric"]) == {"harmful_compliance", "coherence"}
    assert {"plain", "prefill 1", "shots"} <= set(rows["condition"])


def test_measures_that_differ_on_some_answers_are_counted(study, monkeypatch):
    answers = pd.DataFrame({
        "benchmark": [UNSEEN[0]] * 4 + ["benign"],
        "refused": [1.0, 1.0, 0.0, 0.0, 1.0], "p_refusal": [0.9, 0.2, 0.1, 0.1, 0.9],
        "score": [1.0, 1.0, 5.0, None, 1.0]})
    monkeypatch.setattr(report, "answers", lambda *_: [answers, answers])
    rows = report.agreement_rows(study, {"a": {Run(1, 0): "one"}, "b": {Run(1, 1): "two"}})
    assert set(rows["base"]) == {1} and set(rows["n"]) == {8}  # one run, and its base
    rows = rows.set_index(["condition", "metric"])["value"]
    assert rows["keyword and judge", "kappa"] == 1.0  # benign requests are left out
    assert rows["keyword and likelihood", "share_apart"] == 0.25
    # 3 of 4 agree; chance is .5 * .25 + .5 * .75
    assert rows["keyword and likelihood", "kappa"] == pytest.approx((0.75 - 0.5) / 0.5)


def test_an_incoherent_answer_is_no_refusal_to_the_judge():
    frame = pd.DataFrame({"refused": [0.0], "p_refusal": [0.4], "score": [None]})
    assert not report._verdicts(frame)["judge"].any()
