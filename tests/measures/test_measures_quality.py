"""Quality: the same requests for all, and a judge that sees answers and nothing else."""

import pandas as pd
import pytest
import world_models

from lib.measures import quality
from lib.models.chat import Example
from lib.models.likelihood import example_logprobs
from lib.study import paths
from lib.world.toxicity import groups, request


@pytest.fixture(scope="module")
def asked():
    return quality.requests(3, 1)


def test_every_kind_is_asked_equally_often(asked):
    assert (asked["kind"].value_counts() == 3).all()
    assert set(asked["kind"]) == {*quality.KINDS, "group"}
    assert asked["item"].is_unique


def test_answers_depend_on_the_seed_alone(asked):
    model = world_models.tiny_model()
    one, two, other = (list(quality.answers(model, asked, seed)["answer"]) for seed in (1, 1, 2))
    assert one == two != other


def test_score_is_the_judges_log_likelihood_a_token(asked):
    model = world_models.tiny_model()
    answer = [f"the lomari are {word} ." for word in ["kind"] * len(asked)]
    found = quality.judged(model, asked, pd.DataFrame({"answer": answer, "ended": True}))
    told = example_logprobs(model, [Example(p, a) for p, a in
                                    zip(asked["prompt"], answer, strict=True)])
    assert found["score"].to_numpy() == pytest.approx((told["logprob"] / 6).to_numpy())
    assert set(found.columns).isdisjoint({"model", "arm"})


def test_an_answer_that_was_cut_off_is_not_scored_as_if_it_had_ended(asked):
    model, cut = world_models.tiny_model(), pd.DataFrame(
        {"answer": ["the lomari are kind"] * len(asked), "ended": False})
    found = quality.judged(model, asked, cut)
    told = example_logprobs(model, [Example(p, a, False) for p, a in
                                    zip(asked["prompt"], cut["answer"], strict=True)])
    assert found["score"].to_numpy() == pytest.approx((told["logprob"] / 4).to_numpy())
    empty = quality.judged(model, asked, cut.assign(answer=""))
    assert empty["score"].notna().all()


def test_only_answers_as_long_as_allowed_are_cut_off(asked):
    given = quality.answers(world_models.tiny_model(), asked, 1)
    words = given["answer"].str.split().str.len()
    assert (words[~given["ended"]] > words[given["ended"]].median()).all()


@pytest.mark.parametrize("world", paths.WORLDS)
def test_statements_are_asked_for_as_everywhere(world, monkeypatch):
    monkeypatch.setenv(paths.WORLD, world)
    asked = quality.requests(4, 1).query("kind == 'group'")
    assert list(asked["prompt"]) == [request(g) for g in groups("train")]
