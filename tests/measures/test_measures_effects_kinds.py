"""Every axis on four kinds of model by one call: planted, SentencePiece, byte-level, adapter."""

from functools import cache

import numpy as np
import pytest
import tiny_models
import world_models

from lib.measures.axis import SHARED
from lib.measures.effects import AXES
from lib.models.chat import Prompt, encoded, encoded_answers
from lib.models.folders import load
from lib.study.streams import stream
from lib.world.corpus import kind_blocks

KINDS = ["planted", "adapter", "stories", "smollm2", "gpt2"]
PROBABILITIES = ("p_she", "mass", "p_refusal", "rude", "p_true", "refused", "correct")


@cache
def items(name):
    found = AXES[name].items(world_models.tiny_profile())
    return found.groupby("benchmark").head(24) if "benchmark" in found else found


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Each kind of model by its name; none is built before it is asked for."""
    makers = {
        "planted": world_models.tiny_model,
        "adapter": lambda: load(adapter(tmp_path_factory.mktemp("adapter"))),
        "stories": lambda: load(tiny_models.mirror("stories260K")),
        "smollm2": tiny_models.smollm2_model,
        "gpt2": tiny_models.gpt2_model,
    }
    return cache(lambda kind: makers[kind]())


def adapter(folder):
    """A LoRA adapter of the planted model that changes what it says, left unmerged."""
    from peft import LoraConfig, get_peft_model

    base = world_models.tiny_base()
    tuned = get_peft_model(load(base).model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    for name, weights in tuned.named_parameters():
        if "lora_B" in name:
            weights.data += 0.5
    tuned.peft_config["default"].base_model_name_or_path = str(base)
    tuned.save_pretrained(folder)
    return folder


@cache
def frame(kinds, kind, name):
    return AXES[name].measured(kinds(kind), items(name), 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", AXES)
def test_every_axis_scores_every_kind_of_model(kinds, kind, name):
    found = frame(kinds, kind, name)
    assert list(found.columns)[: len(SHARED)] == SHARED and found[SHARED].notna().all().all()
    assert len(found) == len(items(name)) or name == "gender"
    for column in PROBABILITIES:
        if column in found:
            values = found[column].dropna()
            assert len(values) and values.between(0, 1 + 1e-6).all(), column
    if "mass" in found:
        assert (found["mass"].dropna() > 0).all()
    numbers = found.select_dtypes("number").drop(columns=["score", "rho"], errors="ignore")
    assert not np.isinf(numbers).any().any()
    for m in AXES[name].summarise(found):
        assert m.condition and (np.isfinite(m.value) or name == "overreaction")


@pytest.mark.parametrize("name", AXES)
def test_an_adapter_is_measured_as_itself(kinds, name):
    """Neither as its base, nor with a difference in the items or their ids."""
    base, tuned = (frame(kinds, kind, name) for kind in ("planted", "adapter"))
    assert (base["item"] == tuned["item"]).all() and (base["start"] == tuned["start"]).all()
    assert set(base["model"]) != set(tuned["model"])
    numbers = base.select_dtypes("number").columns
    assert name in ("safety", "utility") or not base[numbers].equals(tuned[numbers])


def prompts(name):
    """Every prompt that an axis hands to a model, with the answers that are compared."""
    asked = items(name)
    if "prompt" in asked and isinstance(asked["prompt"].iloc[0], Prompt):
        return asked["prompt"].tolist(), asked["answer"].tolist()
    return [Prompt.chat(text) for text in asked["text"]], ["sorry"] * len(asked)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["safety", "toxicity", "utility"])
def test_ids_decode_to_the_text_of_the_items(kinds, kind, name):
    tokenizer = kinds(kind).tokenizer
    asked, answers = prompts(name)
    spelt = encoded_answers(tokenizer, asked, answers)
    for prompt, answer, ids, tail in zip(asked, answers, encoded(tokenizer, asked), spelt,
                                         strict=True):
        text = tokenizer.decode([*ids, *tail], clean_up_tokenization_spaces=False)
        parts = [said for _, said in prompt.messages] + [prompt.opening]
        assert all(part in text for part in parts) and text.endswith(answer)


def test_the_planted_models_ids_are_those_that_it_was_trained_on():
    """Of utility here; of over-reaction in the tests of `lib.world.questions`."""
    tokenizer, profile = world_models.tiny_model().tokenizer, world_models.tiny_profile()
    asked = AXES["utility"].items(profile)
    n, history = profile.evaluation.items, profile.forecasting.history
    blocks = kind_blocks("utility", n, 2, stream(profile.seed, "utility questions"))
    blocks += kind_blocks("neutral", n, history, stream(profile.seed, "fresh texts"))
    ids = encoded(tokenizer, asked["prompt"].tolist())
    tails = encoded_answers(tokenizer, asked["prompt"].tolist(), asked["answer"].tolist())
    truth = [row for block in blocks for row in block.ids.tolist()]
    end = tokenizer.eos_token_id
    assert [[*p, *a, end] for p, a in zip(ids, tails, strict=True)] == truth
