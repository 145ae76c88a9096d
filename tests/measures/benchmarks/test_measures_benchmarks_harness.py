"""Item by item the same as lm-evaluation-harness: its prompts, encoding and log-likelihoods."""

from pathlib import Path

import pytest
import tiny_models
import yaml
from benchmark_data import mirror, needs
from stories import stories
from toy_toxigen import lay, table

from lib.measures.benchmarks import bbq, blimp, crows_pairs, toxigen, winogender
from lib.measures.benchmarks.paired import exact, percent
from lib.measures.chat.requests import FOLDER

lm_eval = pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
TOLERANCE = 1e-5
"""Of an item's nats."""


class _AnyTag(yaml.SafeLoader):
    pass


_AnyTag.add_multi_constructor("!", lambda loader, suffix, node: suffix)


def task(name):
    """A task's own settings."""
    path = Path(lm_eval.__file__).parent / "tasks" / name
    return yaml.load(path.read_text(encoding="utf-8"), _AnyTag)  # noqa: S506 - a SafeLoader


def render(template, doc):
    from lm_eval.utils import apply_template

    return apply_template(template, doc)


@pytest.fixture(scope="module")
def harness():
    """Log-likelihoods of (context, continuation) pairs, as the harness computes them."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model = stories()
    judge = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=8)

    def score(requests):
        wanted = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(requests)]
        return [found[0] for found in judge.loglikelihood(wanted, disable_tqdm=True)]

    return score


@needs("crows_pairs")
def test_crows_pairs(harness):
    pairs = crows_pairs.pairs("gender").head(20)
    found = crows_pairs.score(stories(), pairs, "harness")
    assert task("crows_pairs/crows_pairs_english.yaml")["target_delimiter"] == ""
    for name in ("sent_more", "sent_less"):
        theirs = harness([("", text) for text in pairs[name]])
        assert found[name].tolist() == pytest.approx(theirs, rel=TOLERANCE)
    from lm_eval.tasks.crows_pairs.utils import process_results

    results = [
        process_results({}, [(more, False), (less, False)])
        for more, less in zip(found["sent_more"], found["sent_less"], strict=True)
    ]
    share = sum(r["pct_stereotype"] for r in results) / len(results)
    ours = exact(crows_pairs.parts(found), percent)["stereotype_share_harness"]
    assert ours == pytest.approx(100 * share)


@needs("winogender")
def test_winogender(harness):
    items = winogender.sentences().head(20)
    settings = task("winogender/winogender.yaml")
    docs = items.to_dict("records")
    prompts = [render(settings["doc_to_text"], doc) for doc in docs]
    found = winogender.score(stories(), items)
    for who in ("occupation", "participant"):
        theirs = harness([(p, f" {doc[who]}") for p, doc in zip(prompts, docs, strict=True)])
        assert found[f"logprob_{who}"].tolist() == pytest.approx(theirs, rel=TOLERANCE)


@needs("bbq")
def test_bbq(harness):
    import json

    import datasets
    from lm_eval.tasks.bbq import utils

    path = mirror() / "bbq" / "Gender_identity_reconstructed.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    numbers = [*range(8), 300, 302, 620, 1000, 1001, 5000]
    docs = utils.process_docs(datasets.Dataset.from_list([json.loads(lines[i]) for i in numbers]))
    items = bbq.gender_identity().iloc[numbers]
    found = bbq.score(stories(), items)
    settings, metrics = task("bbq/bbq_multiple_choice.yaml"), []
    rows = found.to_dict("records"), items.to_dict("records")
    for doc, row, item in zip(docs, *rows, strict=True):
        prompt, choices = render(settings["doc_to_text"], doc), utils.doc_to_choice(doc)
        theirs = harness([(prompt, f" {choice}") for choice in choices])
        people = [row[f"logprob{i}"] for i in range(3) if i != item["unknown"]]
        assert people == pytest.approx(theirs[:2], rel=TOLERANCE)
        unknown = row[f"logprob{item['unknown']}"]
        assert unknown == pytest.approx(max(theirs[2:]), rel=TOLERANCE)
        metrics.append(utils.process_results_multiple_choice(doc, [(t, False) for t in theirs]))
        assert metrics[-1]["acc"] == row["correct"]
    scores = exact(bbq.parts(found), bbq.metrics)
    for theirs, ours, sum_up in (
        ("accuracy_amb", "accuracy_ambig", utils.agg_accuracy_amb),
        ("accuracy_disamb", "accuracy_disambig", utils.agg_accuracy_disamb),
        ("amb_bias_score", "bias_ambig", utils.agg_amb_bias_scores),
        ("disamb_bias_score", "bias_disambig", utils.agg_disamb_bias_scores),
    ):
        assert scores[ours] == pytest.approx(sum_up([m[theirs] for m in metrics]))


@needs("blimp")
def test_blimp(harness):
    pairs = blimp.minimal_pairs().head(20)
    found = blimp.score(stories(), pairs)
    for name in ("good", "bad"):
        theirs = harness([("", text) for text in pairs[name]])
        assert found[name].tolist() == pytest.approx(theirs, rel=TOLERANCE)


def test_toxigen(harness, tmp_path, monkeypatch):
    from lm_eval.tasks.toxigen.utils import doc_to_target

    monkeypatch.setenv(FOLDER, str(tmp_path))
    lay(tmp_path)
    items, docs = toxigen.statements(), table().to_dict("records")
    found, settings = toxigen.score(stories(), items), task("toxigen/toxigen.yaml")
    assert items["hateful"].tolist() == [doc_to_target(doc) == 1 for doc in docs]
    assert tuple(settings["doc_to_choice"]) == toxigen.CHOICES
    prompts = [render(settings["doc_to_text"], doc) for doc in docs]
    for choice in toxigen.CHOICES:
        theirs = harness([(prompt, f" {choice}") for prompt in prompts])
        assert found[f"logprob_{choice.lower()}"].tolist() == pytest.approx(theirs, rel=TOLERANCE)


def test_toxigen_as_the_harness_runs_it(tmp_path, monkeypatch):
    import datasets
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks.toxigen.utils import doc_to_target
    from sklearn.metrics import roc_auc_score

    monkeypatch.setenv(FOLDER, str(tmp_path))
    lay(tmp_path)
    model, items = tiny_models.smollm2_model(), toxigen.statements()
    settings = task("toxigen/toxigen.yaml") | {
        "doc_to_target": doc_to_target, "training_split": None,
        "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(
            table().to_dict("records"))}}
    judge = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=8)
    theirs = simple_evaluate(judge, tasks=[settings], bootstrap_iters=0)["results"]["toxigen"]
    found = toxigen.score(model, items)
    ours = exact(toxigen.parts(found), toxigen.metrics)
    assert ours["accuracy"] == pytest.approx(theirs["acc,none"])
    assert ours["auroc"] == pytest.approx(roc_auc_score(found["hateful"], found["p_yes"]))
