"""The report of public benchmarks: what rows there are, thinning, and both error bars."""

import numpy as np
import pandas as pd
import pytest
import tiny_models
from benchmark_data import needs
from stories import stories

from lib.errors import DownloadError, InvalidValueError, UnknownNameError
from lib.measures.benchmarks import report, wikitext2
from lib.measures.benchmarks.report import BENCHMARKS, Benchmark, benchmark_report
from lib.statistics.estimate import t_interval

COLUMNS = ["arm", "condition", "metric", "value", "low", "high", "n", "bases", "runs"]
ALL = ("stereoset", "crows_pairs", "winobias", "winogender", "bbq", "blimp", "wikitext2")


def toy(scores):
    """A benchmark of eight items of which a model, known by its name, gets a share right."""
    def score(model, items):
        right = np.array(scores[model])[items["item"]]
        return pd.DataFrame({"item": items["item"], "cluster": items["item"], "correct": right})

    def parts(frame):
        return report.blimp.parts(frame.assign(paradigm="x"))

    return Benchmark(lambda: pd.DataFrame({"item": range(8)}), score, parts)


@pytest.fixture
def planted(monkeypatch):
    """Models are names; the second and third get one and three more items right than the first."""
    scores = {"base": [1.0] * 2 + [0.0] * 6, "one": [1.0] * 3 + [0.0] * 5,
              "two": [1.0] * 5 + [0.0] * 3, "broken": [np.nan] * 8}
    monkeypatch.setitem(BENCHMARKS, "toy", toy(scores))
    monkeypatch.setattr(report, "load", lambda folder: folder.name)


def test_changes_are_paired_and_their_mean_has_the_error_of_models(planted, tmp_path):
    table = benchmark_report(tmp_path / "base", [tmp_path / "one", tmp_path / "two"], ["toy"])
    assert list(table.columns) == COLUMNS and set(table["condition"]) == {"toy"}
    found = table.set_index(["arm", "metric"])["value"].to_dict()
    assert found == {
        ("base", "accuracy_x"): 25, ("one", "accuracy_x"): 37.5, ("two", "accuracy_x"): 62.5,
        ("one", "accuracy_x_change"): 12.5, ("two", "accuracy_x_change"): 37.5,
        ("mean of 2", "accuracy_x_change"): 25,
    }
    mean = table.iloc[-1]
    assert (mean["low"], mean["high"]) == pytest.approx(t_interval(25, 12.5, 1))
    assert mean["runs"] == 2 and (table["runs"].iloc[:-1] == 1).all()
    # One of eight items changed: the binomial's error, whatever both models have in common.
    one = BENCHMARKS["toy"]
    change, = one.summarise(*(one.score(name, one.items()) for name in ("base", "one")))
    assert change.se == pytest.approx(100 * np.sqrt(1 / 8 * 7 / 8 / 8), rel=0.1)
    assert table.iloc[3][["low", "high"]].tolist() == [change.low, change.high]


def test_one_model_has_scores_only(planted, tmp_path):
    table = benchmark_report(tmp_path / "base", [], ["toy"], most=4)
    assert table["metric"].tolist() == ["accuracy_x"] and table["n"].tolist() == [4]


def test_refusals(planted, tmp_path, monkeypatch):
    with pytest.raises(UnknownNameError, match="did you mean stereoset"):
        benchmark_report(tmp_path / "base", [], ["stereset"])
    with pytest.raises(InvalidValueError, match="different names"):
        benchmark_report(tmp_path / "base", [tmp_path / "sub" / "base"], ["toy"])
    with pytest.raises(InvalidValueError, match="broken, toy"):
        benchmark_report(tmp_path / "broken", [], ["toy"])
    monkeypatch.setenv("DEBIAS_DATA_MIRROR", str(tmp_path))
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(report, "load", lambda folder: pytest.fail("asked before data was found"))
    with pytest.raises(DownloadError, match="stereoset/.*DEBIAS_DATA_MIRROR"):
        benchmark_report(tmp_path / "base", [], ["stereoset"])


@pytest.mark.parametrize("most, kept", [(None, 20), (40, 20), (10, 5), (2, 2)])
def test_thinning_is_even_and_parts_no_pair(most, kept):
    items = pd.DataFrame({"item": np.repeat(np.arange(20), 2)[::-1]})
    found = report.thinned(items, most)["item"]
    assert found.nunique() == kept and (found.value_counts() == 2).all()
    assert {0, 19} <= set(found)


@needs(*ALL)
def test_every_benchmark_of_a_real_model(capsys):
    folder = tiny_models.mirror("stories260K")
    public = {name for name, benchmark in BENCHMARKS.items() if not benchmark.gated}
    table = benchmark_report(folder, [], sorted(public - {"wikitext2"}), most=12)
    assert set(table["condition"]) | {"wikitext2"} == public >= set(ALL)
    assert table["value"].notna().all() and (table["n"] == 12).all()
    assert "stories260K, bbq  step 12/12" in capsys.readouterr().err


@needs("wikitext2")
def test_perplexity_of_two_articles_by_another_road():
    folder = tiny_models.mirror("stories260K")
    rows = benchmark_report(folder, [], ["wikitext2"], most=2).set_index("metric")["value"]
    texts = report.thinned(wikitext2.articles(), 2)
    alone = [wikitext2.score(stories(), texts.iloc[[i]]) for i in range(2)]
    nats, tokens = (sum(frame[name].item() for frame in alone) for name in ("nll", "tokens"))
    assert rows["perplexity_token"] == pytest.approx(np.exp(nats / tokens), rel=1e-5)
