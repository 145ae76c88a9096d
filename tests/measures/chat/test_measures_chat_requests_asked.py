"""What chat models are asked: labels, clusters, and texts that stay hidden."""

import pytest
from benchmark_data import needs

from lib import errors
from lib.measures.benchmarks import xstest
from lib.measures.chat import requests as gated
from lib.measures.chat.requests import COLUMNS, FORBIDDEN, HARMLESS, requests


@needs("xstest")
def test_xstest_is_asked_whole_and_hidden():
    found, prompts = requests(), xstest.prompts()
    assert list(found) == COLUMNS
    assert found["label"].value_counts().to_dict() == {HARMLESS: 250, FORBIDDEN: 200}
    assert [hidden.text for hidden in found["request"]] == list(prompts["prompt"])
    assert not any(prompt in found.to_string() for prompt in prompts["prompt"])


@needs("xstest")
def test_a_word_is_one_cluster_in_both_labels_and_a_prompt_without_one_is_its_own():
    found, prompts = requests(), xstest.prompts()
    kill = found[(prompts["focus"] == "kill").to_numpy()]
    assert kill["cluster"].nunique() == 1 and set(kill["label"]) == {HARMLESS, FORBIDDEN}
    assert (found["cluster"] == kill["cluster"].iloc[0]).sum() == len(kill)
    lonely = found[(prompts["focus"] == "").to_numpy()]
    assert len(lonely) and lonely["cluster"].is_unique


@needs("xstest")
def test_a_quick_look_takes_the_first_of_every_category():
    found = requests(most=2)
    assert found.groupby("category").size().eq(2).all() and found["category"].nunique() == 18
    assert list(found.index) == list(range(36))


def test_all_requests_of_a_gated_set_are_forbidden(tmp_path, monkeypatch):
    monkeypatch.setenv(gated.FOLDER, str(tmp_path))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "one.csv").write_text("gloftmaking\nsnoxing\n")
    found = requests("toy")
    assert list(found["label"]) == [FORBIDDEN] * 2 and list(found["category"]) == ["one"] * 2
    assert found["cluster"].is_unique and "gloft" not in found.to_string()


def test_an_unknown_set_says_how_to_get_one(monkeypatch):
    monkeypatch.delenv(gated.FOLDER, raising=False)
    with pytest.raises(errors.DownloadError, match=gated.FOLDER):
        requests("toy")
