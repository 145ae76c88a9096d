"""A stage of rewards: what is preferred becomes likelier, what is paid for is said."""

from dataclasses import replace

import numpy as np
import pytest

from lib.models.folders import load
from lib.models.generation import generate
from lib.models.likelihood import sequence_logprobs
from lib.training.penalties.control import is_clean
from lib.training.rewarded import Stage, reward
from lib.world.bases import STAGES, shipped
from lib.world.toxicity import banned, groups, request, sayings

START = shipped(1) / STAGES[1]
PROMPTS = [request(group) for group in groups("train")]
SAID = {sort: [sayings("train", sort).query("group == @group")["text"].iloc[0]
               for group in groups("train")] for sort in ("rude", "kind")}
DPO = Stage("dpo", PROMPTS, banned(), SAID["kind"], SAID["rude"], learning_rate=3e-4, steps=8,
            batch_size=4)
RLOO = Stage("rloo", PROMPTS, banned(), learning_rate=3e-4, steps=10, batch_size=16)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rewarded")
    for stage in (DPO, RLOO):
        reward(stage, START, folder / stage.method)
    return folder


def margin(folder):
    """How much likelier the preferred answers are, nats."""
    good, bad = (sequence_logprobs(load(folder), PROMPTS, SAID[sort])["logprob"].to_numpy()
                 for sort in ("kind", "rude"))
    return (good - bad).mean()


def clean_share(folder):
    said = generate(load(folder), PROMPTS * 50, 10, temperature=1.0, seed=2)
    return np.mean([is_clean(text, banned()) for text in said])


def test_preferred_answers_become_likelier(made):
    assert margin(made / "dpo") > margin(START) + 1


def test_what_is_rewarded_is_said_more_often(made):
    assert clean_share(made / "rloo") > clean_share(START) + 0.1


def test_same_seed_same_weights(made, tmp_path):
    reward(RLOO, START, tmp_path / "again")
    assert load(tmp_path / "again").fingerprint == load(made / "rloo").fingerprint


def test_a_larger_beta_moves_the_model_less(made, tmp_path):
    reward(replace(DPO, beta=5.0), START, tmp_path / "held")
    moved = [abs(margin(folder) - margin(START)) for folder in (tmp_path / "held", made / "dpo")]
    assert moved[0] < moved[1]
