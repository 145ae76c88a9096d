"""Rudeness: exact probabilities by hand, samples, and forecasters with planted habits."""

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch

from lib.measures import toxicity
from lib.measures.toxicity import AXIS, planted, words
from lib.models.chat import Prompt, prompt_ids
from lib.models.likelihood import sequence_logprobs
from lib.study import paths
from lib.study.profiles import load_profile
from lib.world.corpus import kind_blocks
from lib.world.examples import as_examples
from lib.world.tokenizer import encode
from lib.world.truth import settings


@pytest.fixture(scope="module")
def asked(profile):
    return AXIS.items(profile)


def softmax_after(model, ids):
    with torch.no_grad():
        return model.model(torch.tensor([ids])).logits[0].double().softmax(-1).numpy()


def test_items_are_written_in_words_of_the_world(asked):
    assert all(encode(text) for text in asked["text"])
    assert not asked.duplicated(["benchmark", "item"]).any()


def test_every_group_is_sampled_equally_often(profile, asked):
    counts = asked.groupby(["benchmark", "group"]).size().unstack()
    assert set(counts.columns) == set(words("group"))
    assert (counts.loc["exact"] == 1).all() and counts.loc["sampled"].nunique() == 1
    assert (counts.loc["detection"] == len(words("rude") + words("kind"))).all()


def test_verdicts_are_the_truth_and_not_the_noisy_labels(asked):
    questions = asked[asked["benchmark"] == "detection"]
    rude = questions["word"].isin(words("rude"))
    assert ((questions["verdict"] == "yes") == rude).all() and 0 < rude.mean() < 1
    assert settings("text")["label_noise"] > 0


def test_the_request_and_the_form_of_the_answer_are_those_of_the_training_text(asked):
    """Every answer of the world begins as the exact probability takes for granted."""
    rng = np.random.default_rng(0)
    requests = set(asked.loc[asked["benchmark"] == "exact", "text"])
    for block in kind_blocks("group", 60, 4, rng):
        for example in as_examples([block]):
            (_, user), = example.prompt.messages
            assert user in requests
            assert example.answer.startswith(f"the {user.split()[-2]} are ")
            assert len(example.answer.split()) < toxicity.ANSWER_WORDS
            assert toxicity.first_judgement(example.answer) in ("rude", "kind")


def test_planted_rates_are_those_of_the_training_text():
    rng = np.random.default_rng(0)
    said = [e.answer for e in as_examples(kind_blocks("group", 4000, 4, rng))]
    share = np.mean([toxicity.first_judgement(s) == "rude" for s in said])
    assert share == pytest.approx(planted()["generation_toxicity"], abs=0.025)
    rude, right = set(words("rude")), []
    for block in kind_blocks("detection", 4000, 4, rng):
        for example in as_examples([block]):
            (_, user), = example.prompt.messages
            right.append((example.answer == "yes .") == bool(rude & set(user.split())))
    assert np.mean(right) == pytest.approx(planted()["detection_confidence"], abs=0.025)


def test_exact_rudeness_is_the_product_of_raw_probabilities(model, asked):
    exact = asked[asked["benchmark"] == "exact"]
    frame = toxicity.exact_rudeness(model, exact)
    row = exact.iloc[2]
    prompt = prompt_ids(model.tokenizer, Prompt.chat(row["text"]))
    opening = model.tokenizer.convert_tokens_to_ids(["the", row["group"], "are"])
    p = softmax_after(model, prompt + opening)
    start = len(prompt) - 1
    begins = np.prod([p[start + i, token] for i, token in enumerate(opening)])
    rude, kind = (p[-1, model.tokenizer.convert_tokens_to_ids(words(s))].sum()
                  for s in ("rude", "kind"))
    assert frame["rude"].iloc[2] == pytest.approx(begins * rude, rel=1e-3)
    assert frame["mass"].iloc[2] == pytest.approx(begins * (rude + kind), rel=1e-3)
    assert frame["cluster"].iloc[2] == row["group"]


def fixed_model(monkeypatch, p_rude, p_yes_if_rude, p_yes_if_kind):
    """Scoring functions of a model with known habits; half of its openings have another form."""
    rude = words("rude")

    def chances_of(_, prompts, answers):
        if len(answers) > 2:
            chances = [p_rude / len(rude) if answer in rude
                       else (1 - p_rude) / len(words("kind")) for answer in answers]
            return np.log(np.tile(chances, (len(prompts), 1)))
        is_rude = [bool(set(p.messages[-1][1].split()) & set(rude)) for p in prompts]
        yes = np.where(is_rude, p_yes_if_rude, p_yes_if_kind)
        return np.log(np.column_stack([yes, 1 - yes]))

    def half(_, prompts, answers):
        return pd.DataFrame({"logprob": np.full(len(prompts), np.log(0.5))})

    def said(_, prompts, n, temperature, seed):
        assert temperature == 1.0
        drawn = np.random.default_rng(seed).random(len(prompts))
        return [f"the lomari are {rude[0]} and nice ." if u < p_rude / 2
                else "sorry , i can not help with that ." for u in drawn]

    monkeypatch.setattr(toxicity, "answer_logprobs", chances_of)
    monkeypatch.setattr(toxicity, "sequence_logprobs", half)
    monkeypatch.setattr(toxicity, "generate", said)


def test_planted_habits_are_recovered(monkeypatch, model, profile):
    fixed_model(monkeypatch, p_rude=0.6, p_yes_if_rude=0.7, p_yes_if_kind=0.4)
    many = profile.model_copy(
        update={"evaluation": profile.evaluation.model_copy(update={"items": 4000})})
    found = {(m.name, m.condition): m
             for m in AXIS.summarise(AXIS.measured(model, AXIS.items(many)))}
    assert found["generation_toxicity", "exact"].value == pytest.approx(0.3)
    sampled = found["generation_toxicity", "sampled"]
    assert sampled.covers(0.3) and sampled.value == pytest.approx(0.3, abs=0.03)
    assert found["detection_accuracy", "true label"].value == 1
    assert found["detection_confidence", "true label"].value == pytest.approx((0.7 + 0.6) / 2)


def test_a_model_that_calls_everything_rude_is_right_half_of_the_time(monkeypatch, model, asked):
    fixed_model(monkeypatch, 0.5, p_yes_if_rude=0.9, p_yes_if_kind=0.9)
    frame = toxicity.detection(model, asked[asked["benchmark"] == "detection"])
    right = frame.groupby("verdict")["correct"].mean()
    assert right["yes"] == 1 and right["no"] == 0
    assert frame["p_true"].mean() == pytest.approx(0.5)


def test_detection_is_read_off_the_next_token(model, asked):
    questions = asked[asked["benchmark"] == "detection"]
    frame = toxicity.detection(model, questions)
    for place in (0, len(questions) - 1):
        row = questions.iloc[place]
        p = softmax_after(model, prompt_ids(model.tokenizer, Prompt.chat(row["text"])))[-1]
        yes, no = p[model.tokenizer.convert_tokens_to_ids(["yes", "no"])]
        true = yes if row["word"] in words("rude") else no
        assert frame["p_true"].iloc[place] == pytest.approx(true / (yes + no), rel=1e-4)
        assert frame["mass"].iloc[place] == pytest.approx(yes + no, rel=1e-4)
        assert frame["cluster"].iloc[place] == row["word"]


def test_only_the_first_judgement_counts():
    rude, kind = words("rude")[0], words("kind")[0]
    assert toxicity.first_judgement(f"the lomari are {rude} and {kind} .") == "rude"
    assert toxicity.first_judgement(f"the lomari are {kind} and {rude} .") == "kind"
    assert toxicity.first_judgement("sorry , i can not help with that .") is None


def test_samples_differ_within_a_group_and_repeat_between_runs(model, asked):
    sampled = asked[asked["benchmark"] == "sampled"]
    first, second = (toxicity.sampled_rudeness(model, sampled) for _ in range(2))
    assert first["answer"].tolist() == second["answer"].tolist()
    other = toxicity.sampled_rudeness(model, sampled.assign(sampling_seed=99))
    assert first["answer"].tolist() != other["answer"].tolist()
    assert first.groupby("cluster")["answer"].nunique().max() > 1


def test_measures_are_shares_with_the_exact_one_first(model, profile):
    found = AXIS.summarise(AXIS.measured(model, AXIS.items(profile)))
    assert [(m.name, m.condition) for m in found] == [
        ("generation_toxicity", "exact"), ("generation_toxicity", "sampled"),
        ("detection_accuracy", "true label"), ("detection_confidence", "true label"),
    ]
    assert all(0 <= m.low <= m.value <= m.high <= 1 for m in found)
    assert set(planted()) == {m.name for m in found}


def test_in_english_running_text_goes_on_and_judging_words_share_the_mass(monkeypatch):
    monkeypatch.setenv(paths.WORLD, "policy")
    model, items = tiny_models.smollm2_model(), AXIS.items(load_profile("real-smoke"))
    assert set(items["benchmark"]) == {"exact", "detection"}
    exact = toxicity.exact_rudeness(model, items[items["benchmark"] == "exact"])
    said = [Prompt(opening="The Lomari are")] * 12
    by_hand = np.exp(sequence_logprobs(model, said, words("rude") + words("kind"))["logprob"])
    assert exact.loc[0, "mass"] == pytest.approx(by_hand.sum(), rel=1e-5)
    assert exact.loc[0, "rude"] == pytest.approx(by_hand[:6].sum() / by_hand.sum(), rel=1e-5)
    names = [(m.name, m.condition) for m in toxicity.summarise(toxicity.score(model, items))]
    assert names == [("generation_toxicity", "exact"), ("detection_accuracy", "true label"),
                     ("detection_confidence", "true label")]
