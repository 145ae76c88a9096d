"""General ability: right answers by hand, likelihoods and perplexity by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

from lib.axes import utility
from lib.sandbox.corpus import kind_blocks, mixture


def test_perplexity_by_hand():
    frame = pd.DataFrame({"nll": [2.0, 4.0], "floor": [1.0, 2.0], "tokens": [1, 3]})
    assert utility.perplexity(frame) == pytest.approx(np.exp(6 / 4))
    assert utility.perplexity(frame, "floor") == pytest.approx(np.exp(3 / 4))


def test_perplexity_of_equal_chances_is_their_number():
    frame = pd.DataFrame({"nll": 5 * np.log(7) * np.ones(3), "tokens": [5, 5, 5]})
    assert utility.perplexity(frame) == pytest.approx(7)


def test_losses_are_sums_over_the_answer(model):
    frame = utility.losses(model, "neutral", 12, 4, 0)
    blocks = kind_blocks("neutral", 12, 4, np.random.default_rng([0, 2]))
    rows = [(row, b.start) for b in blocks for row in b.ids.tolist()]
    for (row, start), nll, tokens in zip(rows, frame["nll"], frame["tokens"], strict=True):
        with torch.no_grad():
            logp = model.model(torch.tensor([row])).logits[0].log_softmax(-1)
        by_hand = -sum(logp[t - 1, row[t]].item() for t in range(start, len(row)))
        assert nll == pytest.approx(by_hand, abs=1e-3) and tokens == len(row) - start


def test_floor_is_the_generators_own_loss(model):
    frame = utility.losses(model, "detection", 40, 4, 3)
    blocks = kind_blocks("detection", 40, 4, np.random.default_rng([3, 2]))
    assert frame["floor"].to_numpy() == pytest.approx(-np.concatenate([b.logp for b in blocks]))


def test_no_model_beats_the_floor_on_average(model):
    frame = utility.floors(model, 60, 4, 0)
    gap = (frame["nll"] - frame["floor"]).groupby(frame["benchmark"]).mean()
    assert set(gap.index) == set(mixture()) - {"forbidden"}
    assert (gap > 0).all()


def test_losses_follow_the_seed(model):
    a, b, c = (utility.losses(model, "neutral", 9, 4, s)["nll"].sum() for s in (0, 0, 1))
    assert a == b and a != c


@pytest.fixture
def question_blocks():
    return kind_blocks("utility", 30, 2, np.random.default_rng([5, 1]))


def test_answers_are_right_or_wrong_as_a_whole(monkeypatch, model, question_blocks):
    right = [model.tokenizer.decode(a[:-1]) for b in question_blocks for a in b.answers()]
    replies = [" " + r if i % 3 else r + " more" for i, r in enumerate(right)]
    monkeypatch.setattr(utility, "generate", lambda *_: replies)
    frame = utility.answers(model, 30, 5)
    assert frame["correct"].tolist() == [float(i % 3 > 0) for i in range(30)]


def test_questions_are_those_of_the_world(monkeypatch, model, question_blocks):
    asked = []
    monkeypatch.setattr(
        utility, "generate", lambda _, prompts, n: asked.extend(prompts) or [""] * len(prompts)
    )
    utility.answers(model, 30, 5)
    assert asked == [p for b in question_blocks for p in b.prompts()]
