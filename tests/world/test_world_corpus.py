"""The training text: its mixture, its floors, and what the refusal stage must never show."""

from collections import Counter

import numpy as np
import pytest

from lib.measures.safety import requests
from lib.world.corpus import (
    kind_blocks,
    mixture,
    pretraining,
    refusal_blocks,
    refusal_training,
    shares,
)
from lib.world.examples import as_examples
from lib.world.forecasts import SERIES_WEIGHT
from lib.world.patterns import draw
from lib.world.tokenizer import ASSISTANT, encode, number_id, vocabulary
from lib.world.truth import settings, things


def texts(blocks):
    words = {i: w for w, i in vocabulary().items()}
    return [(b.kind, " ".join(words[i] for i in row[: b.start])) for b in blocks
            for row in b.ids.tolist()]


@pytest.fixture(scope="module")
def stage_two():
    return refusal_training(8000, 4, np.random.default_rng(0))


def test_mixture_is_a_probability_over_all_kinds():
    assert sum(mixture().values()) == pytest.approx(1)
    assert set(mixture()) == {*settings("text")["kinds"], "forecast", "series"}


def test_shares_are_weights_over_their_sum():
    assert shares([{"weight": 1}, {"weight": 3}]).tolist() == [0.25, 0.75]


@pytest.mark.parametrize("kind", list(mixture()))
def test_each_kind_gives_as_many_texts_as_asked(kind):
    blocks = kind_blocks(kind, 123, 4, np.random.default_rng(1))
    assert sum(len(b.ids) for b in blocks) == 123
    assert {b.kind for b in blocks} == {kind}
    assert all((b.logp <= 1e-9).all() and np.isfinite(b.logp).all() for b in blocks)


def test_stage_one_has_the_stated_shares():
    n, count = 5000, {}
    for block in pretraining(n, 4, np.random.default_rng(2)):
        count[block.kind] = count.get(block.kind, 0) + len(block.ids)
    assert count == {kind: round(n * share) for kind, share in mixture().items()}


def test_a_plain_text_also_pays_for_its_pattern():
    kinds = settings("text")["kinds"] | {"series": settings("forecasts")["series"]}
    plain = {}
    for name, row in kinds.items():
        total = sum(p["weight"] for p in row["patterns"])
        seen = SERIES_WEIGHT if name == "series" else 1.0
        for p in row["patterns"]:
            if "user" not in p:
                plain[p["answer"]] = seen * row["weight"] * p["weight"] / total
    pattern = kinds["neutral"]["patterns"][0]
    alone = draw(pattern, 1, "neutral", np.random.default_rng(0)).logp[0]
    extra = np.log(plain[pattern["answer"]] / sum(plain.values()))
    first = kind_blocks("neutral", 200, 4, np.random.default_rng(0))[0]
    assert first.logp == pytest.approx(alone + extra)


def test_chats_pay_only_for_their_answer():
    for block in kind_blocks("utility", 90, 4, np.random.default_rng(0)):
        assert ASSISTANT in block.ids[0] and block.logp == pytest.approx(0)


def test_forecasts_use_every_style_under_every_prompt():
    given = settings("forecasts")
    blocks = kind_blocks("forecast", 4000, 4, np.random.default_rng(0))
    assert len(blocks) == len(given["styles"]) * len(given["prompts"])


def test_refusals_never_show_an_untaught_forbidden_thing(stage_two):
    forbidden = things("forbidden")
    untaught = encode(" ".join(forbidden.loc[~forbidden["taught"], "thing"]))
    taught = encode(" ".join(forbidden.loc[forbidden["taught"], "thing"]))
    refusals = [b for b in stage_two if b.kind == "refusal"]
    assert refusals
    for block in refusals:
        assert not np.isin(block.ids, untaught).any()
        assert np.isin(block.ids, taught).any(1).all()


def test_stage_two_shows_no_probe(stage_two):
    """Neither a phrasing nor a thing that the axis asks about appears as a request."""
    words = {i: w for w, i in vocabulary().items()}
    users = {" ".join(words[i] for i in row[2 : b.start - 2])
             for b in stage_two if b.start > 3 for row in b.ids.tolist()}
    assert not users & set(requests()["text"])


def test_stage_two_refuses_nothing_but_the_forbidden(stage_two):
    sorry = vocabulary()["sorry"]
    for block in stage_two:
        refused = block.ids[:, block.start] == sorry
        assert refused.all() if block.kind == "refusal" else not refused.any()


def test_stage_two_replays_every_other_kind(stage_two):
    replayed = {b.kind for b in stage_two} - {"refusal", "benign"}
    assert replayed == set(mixture()) - {"forbidden", "benign"}


def test_stage_two_replays_rates_more_often_and_all_else_as_before(stage_two):
    counts, before = Counter(), mixture()
    for block in stage_two:
        counts[block.kind] += len(block.ids)
    more = settings("text")["refusal"]["replayed"]
    assert set(more) == {"group", "meaning", "occupation"}
    for kind in ("group", "meaning", "occupation", "forecast"):
        ratio = counts[kind] / counts["neutral"] / (before[kind] / before["neutral"])
        assert ratio == pytest.approx(more.get(kind, 1), rel=0.02)


def test_shown_history_has_the_asked_length():
    block = kind_blocks("forecast", 50, 7, np.random.default_rng(0))[0]
    prompt = block.ids[:, : block.start]
    shown = (prompt >= number_id(0)) & (prompt <= number_id(199))
    assert (shown.sum(1) == 7).all()


def test_same_seed_same_corpus():
    a, b = (texts(pretraining(200, 4, np.random.default_rng(7))) for _ in range(2))
    assert a == b and a != texts(pretraining(200, 4, np.random.default_rng(8)))


@pytest.mark.parametrize("kind", ["meaning", "benign", "forbidden", "occupation", "refusal"])
def test_words_that_are_left_out_stand_in_no_text(kind):
    left_out = {"glozz", "drempo", "mend nets", "nurse", *things("forbidden")["thing"][5:]}

    def drawn(without):
        rng = np.random.default_rng(4)
        blocks = (refusal_blocks(4000, rng, without) if kind == "refusal"
                  else kind_blocks(kind, 4000, 4, rng, without))
        return [" ".join([*(text for _, text in e.prompt.messages), e.answer])
                for e in as_examples(blocks)]

    def naming(texts):
        return sum(any(f" {word} " in f" {text} " for word in left_out) for text in texts)

    assert naming(drawn(left_out)) == 0 < naming(drawn(()))
