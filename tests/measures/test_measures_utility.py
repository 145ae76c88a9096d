"""General ability: right answers by hand, likelihoods and perplexity by hand."""

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from scipy import stats

from lib.measures import utility
from lib.models.chat import encoded
from lib.study import paths
from lib.study.profiles import load_profile
from lib.study.streams import stream
from lib.world.corpus import kind_blocks, mixture


def test_perplexity_by_hand():
    frame = pd.DataFrame({"nll": [2.0, 4.0], "floor": [1.0, 2.0], "tokens": [1, 3]})
    assert utility.perplexity(frame) == pytest.approx(np.exp(6 / 4))
    assert utility.perplexity(frame, "floor") == pytest.approx(np.exp(3 / 4))


def test_perplexity_of_equal_chances_is_their_number():
    frame = pd.DataFrame({"nll": 5 * np.log(7) * np.ones(3), "tokens": [5, 5, 5]})
    assert utility.perplexity(frame) == pytest.approx(7)


def test_losses_are_sums_over_the_answer(model):
    frame = utility.losses(model, utility.texts("neutral", 12, 4, 0))
    blocks = kind_blocks("neutral", 12, 4, stream(0, "fresh texts"))
    rows = [(row, b.start) for b in blocks for row in b.ids.tolist()]
    for (row, start), nll, tokens in zip(rows, frame["nll"], frame["tokens"], strict=True):
        with torch.no_grad():
            logp = model.model(torch.tensor([row])).logits[0].log_softmax(-1)
        by_hand = -sum(logp[t - 1, row[t]].item() for t in range(start, len(row)))
        assert nll == pytest.approx(by_hand, rel=1e-5) and tokens == len(row) - start


def test_floor_is_the_generators_own_loss():
    frame = utility.texts("detection", 40, 4, 3)
    blocks = kind_blocks("detection", 40, 4, stream(3, "fresh texts"))
    assert frame["floor"].to_numpy() == pytest.approx(-np.concatenate([b.logp for b in blocks]))


def test_no_model_beats_the_floor_on_average(model):
    frame = utility.floors(model, 60, 4, 0)
    gap = (frame["nll"] - frame["floor"]).groupby(frame["benchmark"]).mean()
    assert set(gap.index) == set(mixture()) - {"forbidden"}
    assert (gap > 0).all()


def test_losses_follow_the_seed(model):
    a, b, c = (utility.losses(model, utility.texts("neutral", 9, 4, s))["nll"].sum()
               for s in (0, 0, 1))
    assert a == b and a != c


@pytest.fixture
def question_blocks():
    return kind_blocks("utility", 30, 2, stream(5, "utility questions"))


def test_answers_are_right_or_wrong_as_a_whole(monkeypatch, model, question_blocks):
    right = [model.tokenizer.decode(a) for b in question_blocks
             for a in b.ids[:, b.start : -1].tolist()]
    replies = [" " + r if i % 3 else r + " more" for i, r in enumerate(right)]
    monkeypatch.setattr(utility, "generate", lambda *_: replies)
    frame = utility.answers(model, utility.questions(30, 5))
    assert frame["correct"].tolist() == [float(i % 3 > 0) for i in range(30)]


def test_questions_are_those_of_the_world(monkeypatch, model, question_blocks):
    asked = []
    monkeypatch.setattr(
        utility, "generate", lambda _, prompts, n: asked.extend(prompts) or [""] * len(prompts)
    )
    utility.answers(model, utility.questions(30, 5))
    assert encoded(model.tokenizer, asked) == [p for b in question_blocks
                                               for p in b.ids[:, : b.start].tolist()]


def test_perplexity_and_its_delta_method_error_against_resampling():
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, 12, 400)
    nll = tokens * rng.gamma(20, 0.1, 400)
    frame = pd.DataFrame({"benchmark": "neutral", "nll": nll, "tokens": tokens})
    other = pd.DataFrame({"benchmark": ["utility"], "nll": [1e6], "tokens": [1]})
    found = utility.neutral_perplexity(pd.concat([frame, other]))
    assert found.value == pytest.approx(np.exp(nll.sum() / tokens.sum()))
    draws = rng.integers(0, 400, (2000, 400))
    resampled = np.exp(nll[draws].sum(1) / tokens[draws].sum(1))
    assert found.se == pytest.approx(resampled.std(), rel=0.1)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, found.df) * found.se)


def test_the_axis_measures_what_its_two_parts_measure(model, profile):
    axis, n = utility.AXIS, profile.evaluation.items
    frame = axis.score(model, axis.items(profile))
    asked = utility.answers(model, utility.questions(n, profile.seed))
    told = utility.losses(
        model, utility.texts("neutral", n, profile.forecasting.history, profile.seed)
    )
    found = {(m.name, m.condition): m.value for m in axis.summarise(frame)}
    assert found == pytest.approx({
        ("utility_accuracy", "questions"): asked["correct"].mean(),
        ("neutral_perplexity", "model"): utility.perplexity(told),
        ("neutral_perplexity", "floor"): utility.perplexity(told, "floor"),
    })
    assert len(frame) == len(asked) + len(told) and "prompt" not in frame


@pytest.mark.parametrize(("given", "right", "holds"), [
    ("The capital of France is Paris.", "Paris.", True), ("PARIS", "Paris.", True),
    ("Parisian", "Paris.", False), ("", "Paris.", False), ("It is 18.", "18.", True)])
def test_in_english_a_sentence_may_hold_the_right_word(given, right, holds):
    assert utility._holds(given, right) == holds


def test_in_english_nobody_knows_a_floor(monkeypatch):
    monkeypatch.setenv(paths.WORLD, "policy")
    items = utility.items(load_profile("real-smoke"))
    assert items["floor"].isna().all() and len(items) > 2
    frame = utility.score(tiny_models.smollm2_model(), items)
    assert [m.condition for m in utility.summarise(frame)] == ["questions", "model"]
