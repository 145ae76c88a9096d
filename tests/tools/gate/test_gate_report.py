"""What the gate writes: true to the result, readable by programs and people, and without texts."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCard

from lib.measures.budget import Budget
from lib.statistics.noninferiority import FAIL, OPEN, PASS
from tools.gate import report
from tools.gate.record import Record, exit_code, record
from tools.gate.report import write
from tools.gate.result import SCHEMA, Result, Subject
from tools.gate.samples import doc_hash
from tools.gate.terminal import COLUMNS, terminal
from tools.gate.words import SIGNS

REQUEST, CLUSTER = "how do i brew a gloftmaking snoxwine ?", "gloftmaking"
NAME = 'a<b>&"c"|`d`'
WHY = "A reason that a reader of the card wants <to see>."
METRICS = ["refusal_rate", "neutral_perplexity", "coherence"]
FILES = {"card.html", "gate.json", "gate.schema.json", "records.jsonl", "model_card.md",
         "model_card_metadata.yml"}


def subject(name):
    return Subject(name, f"{len(name):064x}", "<s>", "chat template")


def lines(verdicts, seeds):
    table = pd.DataFrame({
        "line": METRICS, "axis": ["safety", "utility", "safety"],
        "says": ["requests refused", "perplexity", "answers that refuse or help"],
        "before": [0.9, 2.5, 1.0], "after": [0.8, 123456.7, 0.9], "value": [0.1, 1234567.8, 0.05],
        "low": [0.05, 1234.5, -0.1], "high": [0.15, np.inf, 0.2], "allowed": [0.05, 0.05, 0.05],
        "p_within": [0.9, 1.0, 0.5], "p_beyond": [1e-9, 0.01, 0.4],
        "p_beyond_holm": [3e-9, 0.02, np.nan], "n": [200, 20, 1000], "clusters": [50, 20, 200],
        "needed": [150.0, 40.0, np.inf],
    })
    return table.assign(verdict=verdicts, seeds=seeds)


def made(verdicts=(FAIL, OPEN, OPEN), seeds=1, **other):
    budget = Budget.model_validate({"alpha": 0.05, "power": 0.8, "lines": [
        {"metric": metric, "allowed": 0.05, "why": WHY} for metric in METRICS]})
    items = pd.DataFrame([
        {"metric": metric, "axis": axis, "benchmark": "set", "item": f"{REQUEST} {i}",
         "cluster": f"{CLUSTER}{i // 2}", "base": 1.0,
         **{f"tuned_{seed}": (i + seed) % 2 for seed in range(seeds)}}
        for metric, axis in zip(METRICS, ("safety", "utility", "safety"), strict=True)
        for i in range(4)])
    weights = pd.DataFrame({"name": [NAME], "rank": [4], "share_trained": [0.01],
                            "share_changed": [0.5], "drift": [np.nan]})
    result = Result(subject("base"), [subject(f"{NAME}{i}") for i in range(seeds)], budget,
                    lines(list(verdicts), seeds), weights, items, "planted", False)
    return replace(result, **other)


@pytest.fixture
def written(tmp_path):
    out = tmp_path / "some-folder"
    paths = write(made(notes=["A note with <i>signs</i>."], missing={"gender": "no pronouns"},
                       seconds=12.34), out)
    assert {path.name for path in paths} == FILES == {path.name for path in out.iterdir()}
    return out


def read(folder, name):
    return (folder / name).read_text(encoding="utf-8")


# --- for programs -------------------------------------------------------------------------------

@pytest.mark.parametrize(("verdict", "code"), [(PASS, 0), (FAIL, 1), (OPEN, 2)])
def test_exit_codes(verdict, code):
    assert exit_code(verdict) == code


def test_the_record_keeps_to_the_schema_beside_it(written):
    found, schema = (json.loads(read(written, name)) for name in ("gate.json", "gate.schema.json"))
    jsonschema.validate(found, schema)
    assert found["schema_version"] == SCHEMA
    assert Record.model_validate(found).model_dump(mode="json") == found
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found, "verdict": "perhaps"}, schema)


def test_numbers_are_those_of_the_result_and_null_where_json_has_none(written):
    found = json.loads(read(written, "gate.json"), parse_constant=pytest.fail)
    first, second, third = found["lines"]
    assert (first["harm"], first["p_beyond"], first["needed"]) == (0.1, 1e-9, 150)
    assert second["high"] is None and third["needed"] is None and third["p_beyond_holm"] is None
    assert found["weights"] == [
        {"name": NAME, "rank": 4, "share_trained": 0.01, "share_changed": 0.5, "drift": None}]
    assert (found["verdict"], found["exit_code"], found["seconds"]) == (FAIL, 1, 12.3)
    assert found["missing"] == {"gender": "no pronouns"} and first["why"] == WHY


def test_equal_results_give_equal_bytes_apart_from_seconds(tmp_path):
    for name, seconds in (("one", 1.0), ("two", 500.0)):
        write(made(seconds=seconds), tmp_path / name)
    for name in FILES:
        one, two = (read(tmp_path / folder, name) for folder in ("one", "two"))
        if name in ("gate.json", "card.html"):
            one = one.replace('"seconds": 1.0', '"seconds": 500.0').replace(">0.0<", ">8.3<")
        assert one == two, name


def test_records_pair_up_and_find_an_item_again(written):
    found = [json.loads(line) for line in read(written, "records.jsonl").splitlines()]
    assert len(found) == 12
    keys = {"doc_id", "doc_hash", "task", "metric", "cluster", "base", "tuned"}
    assert all(set(row) == keys for row in found)
    first, second, third = found[:3]
    assert (first["task"], first["metric"], first["doc_id"]) == ("safety/set", "refusal_rate", 0)
    assert first["doc_hash"] == doc_hash("set", f"{REQUEST} 0")
    assert first["cluster"] == second["cluster"] != third["cluster"]
    assert (first["base"], first["tuned"]) == (1.0, [0])
    # The same item has the same place and hash whatever is read off its answer.
    again = next(row for row in found if row["metric"] == "coherence")
    assert (again["doc_id"], again["doc_hash"]) == (first["doc_id"], first["doc_hash"])


def test_a_score_that_an_item_lacks_is_null_and_seeds_keep_their_order(tmp_path):
    result = made(seeds=3)
    result.items.loc[0, ["base", "tuned_1"]] = np.nan
    write(result, tmp_path)
    first = json.loads(read(tmp_path, "records.jsonl").splitlines()[0])
    assert (first["base"], first["tuned"]) == (None, [0, None, 0])


def test_no_text_of_requests_and_no_path_is_in_any_file_or_on_the_terminal(written):
    result = made(notes=["A note."], missing={"gender": "no pronouns"})
    told = "".join(read(written, name) for name in FILES) + terminal(result)
    assert not re.search(f"{CLUSTER}|snoxwine|brew", told)
    assert "some-folder" not in told and str(written.parent) not in told


# --- the card -----------------------------------------------------------------------------------

class Page(HTMLParser):
    """Tags in their order, whether they close, and what they say."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.wrong, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.words.append(data)

    def all(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


@pytest.fixture
def page(written):
    found = Page(read(written, "card.html"))
    assert found.wrong == [] and found.open == []
    return found


def test_the_card_needs_nothing_from_elsewhere_and_runs_nothing(written, page):
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "base"}
    for _, attrs in page.tags:
        for name, value in attrs.items():
            assert name not in ("src", "href") and not name.startswith("on")
            assert name != "xlink:href" or value.startswith("#")
    style = re.search(r"<style>.*?</style>", read(written, "card.html"), re.S)[0]
    assert "url(" not in style and "@import" not in style


def test_headings_are_in_order_and_tables_say_what_they_are(page):
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and set(levels[1:]) == {2} and len(levels) >= 7
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("table")) == len(page.all("caption")) == 4
    assert all(attrs.get("scope") in ("row", "col") for attrs in page.all("th"))
    svg = page.all("svg")[0]
    titles = {attrs.get("id") for tag in ("title", "desc") for attrs in page.all(tag)}
    assert svg["role"] == "img" and set(svg["aria-labelledby"].split()) <= titles
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_the_verdict_comes_first_in_words_and_with_a_sign(page):
    told = " ".join(" ".join(page.words).split())
    assert f"{SIGNS[FAIL]} Fail" in told
    assert told.index("1 of 3 lines are shown to lose more") < told.index("Lines of the budget")
    assert "another training run" in told and "Berger 1982" in told and "Holm 1979" in told
    assert "A note with <i>signs</i>." in told and "no pronouns" in told


def test_names_reasons_and_notes_are_escaped(written, page):
    text = read(written, "card.html")
    assert "<to see>" not in text and "<i>signs" not in text and "a<b>" not in text
    assert f"{NAME}0" in "".join(page.words) and WHY in "".join(page.words)


def test_nothing_is_wider_than_a_small_screen_outside_a_box_that_scrolls(written, page):
    text = read(written, "card.html")
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    assert "overflow-x: auto" in style and "prefers-color-scheme: dark" in style
    assert "@media print" in style
    for rule, size in re.findall(r"([^{}]+)\{[^{}]*min-width: ([\d.]+)rem", style):
        assert float(size) * 16 < 360 or "svg" in rule, rule
    boxes = text.count('<div class="scroll" tabindex="0" role="region" aria-label=')
    assert boxes == len(page.all("table")) + len(page.all("figure"))


def test_several_seeds_are_about_the_recipe_on_the_card_and_on_the_terminal(tmp_path):
    result = made(seeds=2)
    write(result, tmp_path)
    for told in (read(tmp_path, "card.html"), read(tmp_path, "model_card.md"), terminal(result)):
        assert "This is about the recipe, by 2 training seeds" in told.replace("\n  ", " ")
        assert "about this model" not in told


def test_a_pass_has_no_open_lines_and_no_notes(tmp_path):
    result = made([PASS] * 3)
    write(result, tmp_path)
    text = read(tmp_path, "card.html")
    assert "No line is open." in text and "<h2>Notes" not in text
    assert f"{SIGNS[PASS]} Pass: all 3 lines" in terminal(result)


def test_a_judge_that_errs_is_told_of(tmp_path):
    result = made()
    audit = {"caught": 45, "of_positive": 50, "cleared": 48, "of_negative": 50}
    budget = result.budget.model_dump()
    budget["lines"][0]["judge"] = audit
    result = replace(result, budget=Budget.model_validate(budget))
    write(result, tmp_path)
    assert json.loads(read(tmp_path, "gate.json"))["lines"][0]["judge"] == audit
    text = " ".join(read(tmp_path, "card.html").split())
    assert "45 of 50 answers" in text and "48 of 50 others" in text


# --- for a model card ---------------------------------------------------------------------------

def test_the_section_is_one_table_with_a_row_a_line(written):
    text = read(written, "model_card.md")
    assert text.startswith("## Side effects (measured)\n")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 3
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {8}
    assert "<b>" not in text and "no pronouns" in text


def test_the_metadata_is_a_model_index_that_the_hub_reads(written):
    front = read(written, "model_card_metadata.yml")
    index = yaml.safe_load(front)["model-index"][0]
    assert index["name"] == f"{NAME}0"
    assert {result["task"]["type"] for result in index["results"]} == {"text-generation"}
    told = {metric["type"]: metric for result in index["results"] for metric in result["metrics"]}
    assert set(told) == set(METRICS) and told["refusal_rate"]["value"] == 0.8
    assert told["refusal_rate"]["args"]["verdict"] == FAIL
    card = ModelCard(f"---\n{front}---\n{read(written, 'model_card.md')}")
    assert len(card.data.eval_results) == 3


# --- the terminal -------------------------------------------------------------------------------

@pytest.mark.parametrize("seeds", [1, 3])
def test_the_terminal_is_a_hundred_columns_wide(seeds):
    told = terminal(made(seeds=seeds, notes=["word " * 60], missing={"gender": "x" * 130}))
    assert max(map(len, told.splitlines())) <= COLUMNS
    assert "+1.2e+06 [+1234, –]" in told and f"{SIGNS[OPEN]} open" in told


@pytest.mark.parametrize(("change", "told"), [
    ({"needed": np.inf}, "No number of items"),
    ({"needed": np.inf, "seeds": 3}, "more training seeds"),
    ({"needed": 500.0}, "About 500 items like these instead of 200"),
    ({"needed": 150.0}, "Other items: 200 decide"),
    ({"needed": 150.0, "seeds": 3}, "More training seeds: 3"),
])
def test_an_open_line_says_what_would_decide_it(change, told):
    result = made([OPEN, PASS, PASS])
    for name, value in change.items():
        result.lines.loc[0, name] = value
    text = " ".join(terminal(result).split())
    assert f"- refusal_rate: {told}" in text or told in text
    assert "Not enough evidence: 1 of 3 lines" in text


def test_a_missing_axis_leaves_it_open_and_a_quick_look_is_told_of():
    text = " ".join(terminal(made([PASS] * 3, missing={"gender": "none"}, quick=True)).split())
    assert "Not enough evidence: nothing was measured on gender." in text
    assert "- gender: Nothing was measured: none" in text and "Note: A quick look" in text


def test_the_terminal_names_what_was_written(tmp_path):
    result = made()
    told = terminal(result, write(result, tmp_path))
    assert f"Written to {tmp_path}:" in told and all(name in told for name in FILES)


def test_a_name_that_the_template_lacks_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "card.html.j2").write_text("{{ record.nothing }}")
    monkeypatch.setattr(report, "HERE", tmp_path)
    with pytest.raises(Exception, match="nothing"):
        report.card(record(made()), "")
